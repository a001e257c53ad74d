"""Published catalogues: the columns of their tables, their units, frequencies and beams.

Sources: NVSS, Condon et al. (1998, AJ 115, 1693), table VIII/65 of the CDS; FIRST, White et al. (1997, ApJ 475, 479)
and Helfand et al. (2015, ApJ 801, 26), table VIII/92 of the CDS; RACS, Hale et al. (2021, PASA 38, 58) and Duchesne et
al. (2024, PASA 41, 3), tables of CASDA; VLASS, Gordon et al. (2021, ApJS 255, 30), table of CIRADA and of the CDS.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from contimg.common.options import suggest

# What a column of a table can be. Errors of positions: on the sky, or of right ascension in seconds of time.
COLUMN_KEYS = (
    "source_id", "ra", "dec", "ra_error", "dec_error", "flux", "flux_error", "peak", "peak_error", "spectral_index",
    "major", "minor", "angle", "size_limit", "fitted_major",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Columns of a table.

    Attributes
    ----------
    columns : column, or columns of which the first that the table has is taken, by key (`COLUMN_KEYS`).
    units : of columns whose unit the table does not state, by key.
    accepted : ranges (lowest and highest) of the values of columns that mark unreliable rows; other rows are left out.
    rejected : texts in columns that mark rows to be left out.
    id_prefix : with which the id of the first row must begin, where surveys at several frequencies share the columns.
    frequency_hz, beam_arcsec, flux_limit_jy : of the survey.
    """

    columns: Mapping[str, str | tuple[str, ...]]
    units: Mapping[str, str] = field(default_factory=dict)
    accepted: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    rejected: Mapping[str, str] = field(default_factory=dict)
    id_prefix: str = ""
    frequency_hz: float
    beam_arcsec: float
    flux_limit_jy: float


_NVSS_UNITS = {
    "ra_error": "s", "dec_error": "arcsec", "flux": "mJy", "flux_error": "mJy", "major": "arcsec", "minor": "arcsec",
}  # fmt: skip
_UNITS = {
    "ra_error": "arcsec", "dec_error": "arcsec", "flux": "mJy", "flux_error": "mJy", "peak": "mJy", "peak_error": "mJy",
    "major": "arcsec", "minor": "arcsec", "fitted_major": "arcsec",
}  # fmt: skip
_RACS_COLUMNS: dict[str, str | tuple[str, ...]] = {
    "source_id": ("source_name", "name", "source_id", "id"), "ra": "ra", "dec": ("dec_corr", "dec"), "ra_error": "e_ra",
    "dec_error": ("e_dec_corr", "e_dec"), "peak": "peak_flux", "peak_error": "e_peak_flux",
    "major": ("dc_maj_axis", "dc_maj"), "minor": ("dc_min_axis", "dc_min"), "angle": "dc_pa",
}  # fmt: skip
# 4 marks components whose total flux is below their peak, half of the faint ones: without them fluxes are biased.
_VLASS_QUALITY = (0.0, 0.0), (4.0, 4.0)

PRESETS: Mapping[str, tuple[Layout, ...]] = {
    "nvss": (
        Layout(  # nvss.dat, 158 bytes a line
            columns={
                "source_id": "26-39", "ra": "41-51", "dec": "53-63", "ra_error": "65-69", "dec_error": "71-74",
                "flux": "76-83", "flux_error": "85-91", "size_limit": "93", "major": "94-98", "minor": "101-105",
                "angle": "107-111",
            },
            units=_NVSS_UNITS, frequency_hz=1.4e9, beam_arcsec=45.0, flux_limit_jy=2.5e-3,
        ),
        Layout(  # the same table from VizieR
            columns={
                "source_id": "NVSS", "ra": ("_RAJ2000", "RAJ2000"), "dec": ("_DEJ2000", "DEJ2000"),
                "ra_error": "e_RAJ2000", "dec_error": "e_DEJ2000", "flux": ("S1.4", "S1_4"),
                "flux_error": ("e_S1.4", "e_S1_4"), "size_limit": "l_MajAxis", "major": "MajAxis", "minor": "MinAxis",
                "angle": "PA",
            },
            units=_NVSS_UNITS, frequency_hz=1.4e9, beam_arcsec=45.0, flux_limit_jy=2.5e-3,
        ),
    ),
    "first": (
        Layout(  # first_14dec17.fits
            columns={
                "ra": "RA", "dec": "DEC", "peak": "FPEAK", "flux": "FINT", "flux_error": "RMS", "peak_error": "RMS",
                "major": "MAJOR", "minor": "MINOR", "angle": "POSANG", "fitted_major": "FITTED_MAJOR",
            },
            units=_UNITS, accepted={"SIDEPROB": ((0.0, 0.15),)},
            frequency_hz=1.4e9, beam_arcsec=5.4, flux_limit_jy=1e-3,
        ),
        Layout(  # the same table from VizieR, positions in sexagesimal text
            columns={
                "source_id": "FIRST", "ra": ("_RAJ2000", "RAJ2000"), "dec": ("_DEJ2000", "DEJ2000"), "peak": "Fpeak",
                "flux": "Fint", "flux_error": "Rms", "peak_error": "Rms", "major": "Maj", "minor": "Min",
                "angle": "PA", "fitted_major": "fMaj",
            },
            units=_UNITS, accepted={"p(S)": ((0.0, 0.15),)}, frequency_hz=1.4e9, beam_arcsec=5.4, flux_limit_jy=1e-3,
        ),
        Layout(  # catalog_14dec17.bin: words
            columns={
                "ra": "w1-w3", "dec": "w4-w6", "peak": "w8", "flux": "w9", "flux_error": "w10", "peak_error": "w10",
                "major": "w11", "minor": "w12", "angle": "w13", "fitted_major": "w14",
            },
            units=_UNITS, accepted={"w7": ((0.0, 0.15),)}, frequency_hz=1.4e9, beam_arcsec=5.4, flux_limit_jy=1e-3,
        ),
    ),
    "racs": (
        Layout(  # RACS-low DR1
            columns=_RACS_COLUMNS | {"flux": "total_flux_source", "flux_error": "e_total_flux_source"},
            units=_UNITS, frequency_hz=887.5e6, beam_arcsec=25.0, flux_limit_jy=5e-3,
        ),
        Layout(  # RACS-mid; later releases of RACS-low and RACS-high have the same columns
            columns=_RACS_COLUMNS | {"flux": "total_flux", "flux_error": "e_total_flux"}, id_prefix="RACS-MID",
            units=_UNITS, frequency_hz=1367.5e6, beam_arcsec=11.2, flux_limit_jy=2e-3,
        ),
    ),
    "vlass": (
        Layout(  # CIRADA's component table: duplicates, doubtful components and empty islands are marked
            columns={
                "source_id": "Component_name", "ra": "RA", "dec": "DEC", "ra_error": "E_RA", "dec_error": "E_DEC",
                "flux": "Total_flux", "flux_error": "E_Total_flux", "peak": "Peak_flux", "peak_error": "E_Peak_flux",
                "major": "DC_Maj", "minor": "DC_Min", "angle": "DC_PA",
            },
            units=_UNITS | {"ra_error": "deg", "dec_error": "deg"}, rejected={"S_Code": "E"},
            accepted={"Duplicate_flag": ((0, 1),), "Quality_flag": _VLASS_QUALITY},
            frequency_hz=3e9, beam_arcsec=2.5, flux_limit_jy=1e-3,
        ),
        Layout(  # the same table from VizieR
            columns={
                "source_id": "CompName", "ra": ("_RAJ2000", "RAJ2000"), "dec": ("_DEJ2000", "DEJ2000"),
                "ra_error": "e_RAJ2000", "dec_error": "e_DEJ2000", "flux": "Ftot", "flux_error": "e_Ftot",
                "peak": "Fpeak", "peak_error": "e_Fpeak", "major": "DCMaj", "minor": "DCMin", "angle": "DCPA",
            },
            units=_UNITS | {"ra_error": "deg", "dec_error": "deg"}, rejected={"SCode": "E"},
            accepted={"DupFlag": ((0, 1),), "QualFlag": _VLASS_QUALITY},
            frequency_hz=3e9, beam_arcsec=2.5, flux_limit_jy=1e-3,
        ),
    ),
}  # fmt: skip


def find_preset(name: str) -> str:
    """Return the preset that a catalogue's name stands for: `nvss`, also of `nvss-2026`; empty where none does.

    Parameters
    ----------
    name : of the catalogue.
    """
    return next((preset for preset in PRESETS if name.lower().startswith(preset)), "")


def parse_columns(text: str) -> dict[str, str]:
    """Return the columns that a user names, by key.

    Parameters
    ----------
    text : `ra=RA,dec=DEC,flux=S1.4`, or for text without a header bytes or words: `ra=1-12,dec=14-25,flux=w7`.

    Raises
    ------
    ValueError : a part is not of this form, or its key is none of `COLUMN_KEYS`.
    """
    columns = {}
    for part in filter(None, text.split(",")):
        key, equals, column = (word.strip() for word in part.partition("="))
        if key not in COLUMN_KEYS or not equals or not column:
            raise ValueError(
                f"{part!r}: must be KEY=COLUMN with a key of {', '.join(COLUMN_KEYS)}.{suggest(key, COLUMN_KEYS)}"
            )
        columns[key] = column
    return columns
