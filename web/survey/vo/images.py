"""Mosaics as records of ObsCore 1.1, and the search among them (IVOA SIA 2.0)."""

from collections.abc import Iterator, Mapping
from typing import Any

from flask import request
from scipy.constants import c as LIGHT_SPEED_M_S  # noqa: N812

from contimg.formats.votables import VOField, results
from contimg.instrument.dsa110 import CADENCE_S
from contimg.instrument.time import DAY_S, mjd_to_unix
from contimg.sky.regions import bounding_circle, cells_of, overlap
from contimg.store import LIVE, StoredMosaic
from contimg.store.survey.footprints import search_mosaics
from web.context import current_panel
from web.survey.vo.parameters import ImageQuery, Interval

FACILITY = "DSA-110"
COLLECTION = "DSA-110 continuum"


def _field(name: str, kind: str, unit: str, ucd: str, utype: str, description: str, xtype: str = "") -> VOField:
    return VOField(name, kind, unit, ucd, description, f"obscore:{utype}" if utype else "", xtype)


# Names, utypes, UCDs and units: IVOA ObsCore 1.1, tables 1 and 6.
FIELDS = (
    _field("dataproduct_type", "char", "", "meta.code.class", "ObsDataset.dataProductType", "Type of the product"),
    _field("calib_level", "int", "", "meta.code;obs.calib", "ObsDataset.calibLevel", "Level of calibration"),
    _field("obs_collection", "char", "", "meta.id", "DataID.collection", "Collection: one of a campaign has its name"),
    _field("obs_id", "char", "", "meta.id", "DataID.observationID", "Key of the epoch"),
    _field("obs_publisher_did", "char", "", "meta.ref.ivoid", "Curation.publisherDID", "Identifier of the image"),
    _field("access_url", "char", "", "meta.ref.url", "Access.reference", "Address of the FITS file"),
    _field("access_format", "char", "", "meta.code.mime", "Access.format", "Media type of the file"),
    _field("access_estsize", "long", "kbyte", "phys.size;meta.file", "Access.size", "Size of the file"),
    _field("target_name", "char", "", "meta.id;src", "Target.name", "Declination strip"),
    _field("s_ra", "double", "deg", "pos.eq.ra", "Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2.C1",
           "Right ascension of the centre, ICRS"),
    _field("s_dec", "double", "deg", "pos.eq.dec", "Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2.C2",
           "Declination of the centre, ICRS"),
    _field("s_fov", "double", "deg", "phys.angSize;instr.fov", "Char.SpatialAxis.Coverage.Bounds.Extent.diameter",
           "Diameter of a circle around the image"),
    _field("s_region", "char", "", "pos.outline;obs.field", "Char.SpatialAxis.Coverage.Support.Area",
           "Outline of the image, ICRS", "adql:REGION"),
    _field("s_xel1", "long", "", "meta.number", "Char.SpatialAxis.numBins1", "Pixels from east to west"),
    _field("s_xel2", "long", "", "meta.number", "Char.SpatialAxis.numBins2", "Pixels from south to north"),
    _field("s_resolution", "double", "arcsec", "pos.angResolution", "Char.SpatialAxis.Resolution.Refval.value",
           "Beam, FWHM of the major axis"),
    _field("t_min", "double", "d", "time.start;obs.exposure", "Char.TimeAxis.Coverage.Bounds.Limits.StartTime",
           "Beginning of the first tile, MJD"),
    _field("t_max", "double", "d", "time.end;obs.exposure", "Char.TimeAxis.Coverage.Bounds.Limits.StopTime",
           "End of the last tile, MJD"),
    _field("t_exptime", "double", "s", "time.duration;obs.exposure", "Char.TimeAxis.Coverage.Support.Extent",
           "Time of all tiles together"),
    _field("t_resolution", "double", "s", "time.resolution", "Char.TimeAxis.Resolution.Refval.value",
           "Time between the first and the last tile"),
    _field("t_xel", "long", "", "meta.number", "Char.TimeAxis.numBins", "Elements of the time axis"),
    _field("em_min", "double", "m", "em.wl;stat.min", "Char.SpectralAxis.Coverage.Bounds.Limits.LoLimit",
           "Shortest wavelength"),
    _field("em_max", "double", "m", "em.wl;stat.max", "Char.SpectralAxis.Coverage.Bounds.Limits.HiLimit",
           "Longest wavelength"),
    _field("em_res_power", "double", "", "spect.resolution", "Char.SpectralAxis.Resolution.ResolPower.refVal",
           "Resolving power"),
    _field("em_xel", "long", "", "meta.number", "Char.SpectralAxis.numBins", "Elements of the spectral axis"),
    _field("o_ucd", "char", "", "meta.ucd", "Char.ObservableAxis.ucd", "UCD of the pixels"),
    _field("pol_states", "char", "", "meta.code;phys.polarization", "Char.PolarizationAxis.stateList", "Polarisation"),
    _field("pol_xel", "long", "", "meta.number", "Char.PolarizationAxis.numBins", "Elements of the polarisation axis"),
    _field("facility_name", "char", "", "meta.id;instr.tel", "Provenance.ObsConfig.Facility.name", "Telescope"),
    _field("instrument_name", "char", "", "meta.id;instr", "Provenance.ObsConfig.Instrument.name", "Instrument"),
    _field("qa_grade", "char", "", "meta.code.qual", "", "QA grade"),
    _field("rms", "double", "Jy/beam", "stat.stdev;phot.flux.density", "", "Noise"),
    _field("weight_url", "char", "", "meta.ref.url", "", "Address of the weights, 1/Jy2, as FITS"),
    _field("rms_url", "char", "", "meta.ref.url", "", "Address of the noise, Jy/beam, as FITS"),
)  # fmt: skip


def search_images(query: ImageQuery) -> bytes:
    """Return the mosaics of a search as a VOTable, the latest observed first.

    Parameters
    ----------
    query : what is asked for.
    """
    records: list[Mapping[str, Any]] = []
    with current_panel().store.database.read() as session:
        regions = [cells_of(*bounding_circle(region)) for region in query.regions]
        candidates = search_mosaics(session, regions, _spans(query), query.grades)
        for record in _matching(query, candidates):
            records.append(record)
            if len(records) > query.maximum:
                break
    rows = [[record[field.name] for field in FIELDS] for record in records[: query.maximum]]
    return results(FIELDS, rows, is_cut=len(records) > query.maximum, about={"SERVICE_PROTOCOL": "2.0"})


def _spans(query: ImageQuery) -> list[tuple[float, float]]:
    """Limits of the windows whose mosaics may be of the times; a window is at most some hours long."""
    limit_s = 1e11  # a time that no mosaic has
    spans = query.overlaps.get(("t_min", "t_max"), ())
    return [
        tuple(
            min(max(mjd_to_unix(mjd), -limit_s), limit_s) + margin
            for mjd, margin in zip(span, (-DAY_S, DAY_S), strict=True)
        )  # type: ignore[misc]
        for span in spans
    ]


def _matching(query: ImageQuery, candidates: Iterator[StoredMosaic]) -> Iterator[Mapping[str, Any]]:
    for mosaic in candidates:
        footprint = mosaic.footprint
        if query.regions and not any(overlap(footprint, region) for region in query.regions):
            continue
        record = describe_mosaic(mosaic)
        overlaps = (
            any(_overlaps((record[names[0]], record[names[1]]), interval) for interval in intervals)
            for names, intervals in query.overlaps.items()
        )
        inside = (
            any(_overlaps((record[name], record[name]), interval) for interval in intervals)
            for name, intervals in query.inside.items()
        )
        texts = (str(record[name]).lower() in values for name, values in query.texts.items())
        if all(overlaps) and all(inside) and all(texts):
            yield record


def _overlaps(own: tuple[float | None, float | None], interval: Interval) -> bool:
    return own[0] is not None and own[1] is not None and own[0] <= interval[1] and own[1] >= interval[0]


def describe_mosaic(mosaic: StoredMosaic) -> dict[str, Any]:
    """Return a mosaic as a record of ObsCore, by the names of `FIELDS`.

    Parameters
    ----------
    mosaic : of the store.
    """
    root = request.url_root.rstrip("/")
    footprint = mosaic.footprint
    outline = " ".join(f"{ra_deg} {dec_deg}" for ra_deg, dec_deg in footprint.polygon())
    low_hz, high_hz = (mosaic.freq_hz + sign * mosaic.bandwidth_hz / 2 for sign in (-1, 1))
    span = None if mosaic.mjd_start is None or mosaic.mjd_end is None else (mosaic.mjd_end - mosaic.mjd_start) * DAY_S
    suffix = "" if mosaic.processing == LIVE else f" {mosaic.processing}"
    return {
        "dataproduct_type": "image", "calib_level": 3, "obs_collection": f"{COLLECTION}{suffix}",
        "obs_id": mosaic.epoch, "obs_publisher_did": f"ivo://contimg/mosaics?{mosaic.processing}/{mosaic.epoch}",
        "access_url": f"{root}{mosaic.fits_url}", "access_format": "application/fits",
        "access_estsize": mosaic.width_pixels * mosaic.height_pixels * 4 // 1000,
        "target_name": f"strip {mosaic.epoch.rpartition('_')[2]}", "s_ra": mosaic.ra_deg, "s_dec": mosaic.dec_deg,
        "s_fov": 2 * footprint.radius_deg, "s_region": f"POLYGON ICRS {outline}", "s_xel1": mosaic.width_pixels,
        "s_xel2": mosaic.height_pixels, "s_resolution": mosaic.beam_major_arcsec, "t_min": mosaic.mjd_start,
        "t_max": mosaic.mjd_end, "t_exptime": CADENCE_S * mosaic.member_count, "t_resolution": span, "t_xel": 1,
        "em_min": LIGHT_SPEED_M_S / high_hz, "em_max": LIGHT_SPEED_M_S / low_hz, "em_res_power": None, "em_xel": 1,
        "o_ucd": "phot.flux.density;phys.polarization.stokes.I", "pol_states": "/I/", "pol_xel": 1,
        "facility_name": FACILITY, "instrument_name": FACILITY, "qa_grade": mosaic.verdict, "rms": mosaic.rms_jy,
        "weight_url": f"{root}{mosaic.weight_fits_url}", "rms_url": f"{root}{mosaic.rms_fits_url}",
    }  # fmt: skip
