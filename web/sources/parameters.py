"""Parameters of requests about sources and candidates."""

from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from contimg.formats.records import NO_UNIT, about
from contimg.store.jobs.kinds import LIVE
from contimg.store.sky.records import CandidateState
from web.http.bodies import PrintableText
from web.http.parameters import MAX_ID, FiniteFloat, ImageKey, Listing, Parameters

MAX_RADIUS_DEG = 10.0
_CURSOR = "Where the page begins: `next` of the page before; without it at the first entry"
_Processing = Annotated[str, about("`live`, or the name of a campaign", example="live")]
_Number = Annotated[int, about("Number in the store", NO_UNIT, 41)]


class SourcePath(BaseModel):
    """A source in a path."""

    source_id: _Number = Field(ge=0)


class CandidatePath(BaseModel):
    """A candidate in a path."""

    candidate_id: _Number = Field(ge=0)


class SourceListing(Listing):
    """Parameters of a page of sources; those of a cone are given together."""

    name: Annotated[str, about("Part of the name, or of an id in a catalogue", example="J0137")] = Field(
        "", max_length=64
    )
    ra: Annotated[FiniteFloat | None, about("Right ascension of the centre of a cone, ICRS", "deg", 24.42)] = Field(
        None, ge=0, le=360
    )
    dec: Annotated[FiniteFloat | None, about("Declination of the centre of the cone, ICRS", "deg", 33.16)] = Field(
        None, ge=-90, le=90
    )
    radius: Annotated[FiniteFloat | None, about("Radius of the cone", "deg", 0.1)] = Field(
        None, ge=0, le=MAX_RADIUS_DEG
    )
    eta_min: Annotated[FiniteFloat | None, about("Least η", NO_UNIT, 2.5)] = None
    eta_max: Annotated[FiniteFloat | None, about("Greatest η", NO_UNIT, 50.0)] = None
    v_min: Annotated[FiniteFloat | None, about("Least modulation index V", NO_UNIT, 0.1)] = None
    v_max: Annotated[FiniteFloat | None, about("Greatest modulation index V", NO_UNIT, 1.0)] = None
    flux_min: Annotated[FiniteFloat | None, about("Least weighted mean flux", "Jy", 0.005)] = None
    flux_max: Annotated[FiniteFloat | None, about("Greatest weighted mean flux", "Jy", 1.0)] = None
    n_min: Annotated[int, about("Fewest counted measurements", "measurements", 5)] = Field(0, ge=0, le=MAX_ID)
    processing: _Processing = Field(LIVE, max_length=64)
    cursor: Annotated[ImageKey, about(_CURSOR, example="9.1~41")] = None

    @model_validator(mode="after")
    def _has_whole_cone(self) -> Self:
        cone = {"ra": self.ra, "dec": self.dec, "radius": self.radius}
        missing = [name for name, value in cone.items() if value is None]
        if 0 < len(missing) < len(cone):
            raise ValueError(f"a cone has no {', no '.join(missing)}; give ra, dec and radius in degrees")
        return self


class CurveQuery(Parameters):
    """Parameters of a light curve."""

    neighbours: Annotated[int, about("Maximum number of neighbours with their light curves", "sources", 4)] = Field(
        0, ge=0, le=8
    )
    processing: _Processing = Field(LIVE, max_length=64)


class ConeQuery(Parameters):
    """Parameters of an IVOA Simple Cone Search."""

    ra: Annotated[FiniteFloat, about("Right ascension of the centre, ICRS", "deg", 24.42)] = Field(
        ge=0, le=360, alias="RA"
    )
    dec: Annotated[FiniteFloat, about("Declination of the centre, ICRS", "deg", 33.16)] = Field(
        ge=-90, le=90, alias="DEC"
    )
    radius: Annotated[FiniteFloat, about("Radius of the cone", "deg", 0.1)] = Field(ge=0, le=MAX_RADIUS_DEG, alias="SR")
    verbosity: Annotated[int, about("Columns: 1 few, 2 most, 3 all", NO_UNIT, 2)] = Field(2, ge=1, le=3, alias="VERB")


class CandidateListing(Listing):
    """Parameters of a page of candidates."""

    state: Annotated[CandidateState | None, about("State of the candidate", example="new")] = None
    cursor: Annotated[ImageKey, about(_CURSOR, example="61093.14~7")] = None


class StateRequest(Parameters):
    """The new state of a candidate, why, and who decided."""

    state: Annotated[CandidateState, about("new, watching, confirmed, dismissed or withdrawn", example="watching")]
    note: Annotated[PrintableText, about("Why; it is kept with the candidate", example="rises since the 12th")] = ""
    name: Annotated[PrintableText, about("Who decided; empty: the user of the request", example="Vera")] = Field(
        "", max_length=64
    )
