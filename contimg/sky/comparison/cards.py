"""The comparison of an image or mosaic with the reference catalogue in its FITS header."""

from typing import Any

from contimg.sky.comparison.result import SkyComparison

# Keyword, field and comment; a value of None is an undefined keyword.
CARDS = (
    ("CATNAME", "catalogue_name", "reference catalogue"),
    ("CATKIND", "catalogue_kind", "survey, merged, simulated or pipeline"),
    ("CATMATCH", "catalogue_matches", "catalogued sources compared"),
    ("CATFLUXE", "catalogue_flux_error", "standard error of CATFLUX"),
    ("CATFAINT", "catalogue_faint_ratio", "CATFLUX at S/N 7 to 25 over brighter"),
    ("CATOUTER", "catalogue_outer_ratio", "CATFLUX outside half power over inside"),
    ("CATOFFE", "catalogue_offset_east_arcsec", "[arcsec] median offset to the east"),
    ("CATOFFN", "catalogue_offset_north_arcsec", "[arcsec] median offset to the north"),
    ("CATOFFER", "catalogue_offset_error_arcsec", "[arcsec] its standard error on an axis"),
    ("CATDIST", "catalogue_distortion_arcsec", "[arcsec] rms of offsets over the image"),
    ("CATCOMPL", "catalogue_completeness", "detected part of those above S/N 10"),
)
# Field of the result, and keyword, key and comment of each column; the number of the row ends the keyword.
TABLE_CARDS = (
    ("catalogue_flux_by_snr", (
        ("FSNFROM", "snr_from", "S/N from"), ("FSNTO", "snr_to", "S/N to"), ("FSNNUM", "sources", "sources"),
        ("FSNRAT", "flux_ratio", "median flux over catalogue"), ("FSNERR", "error", "its standard error"),
    )),
    ("catalogue_flux_by_radius", (
        ("FRDFROM", "from_deg", "[deg] from the centre, from"), ("FRDTO", "to_deg", "[deg] to"),
        ("FRDNUM", "sources", "sources"), ("FRDRAT", "flux_ratio", "median flux over catalogue"),
        ("FRDERR", "error", "its standard error"),
    )),
    ("catalogue_completeness_by_flux", (
        ("CPLFLUX", "flux_jy", "[Jy] completeness above"), ("CPLNUM", "sources", "sources"),
        ("CPLFRAC", "detected", "fraction detected"),
    )),
    ("catalogue_offset_field", (
        ("OFSX", "east_deg", "[deg] cell east of the centre"), ("OFSY", "north_deg", "[deg] north of the centre"),
        ("OFSNUM", "sources", "sources"), ("OFSE", "offset_east_arcsec", "[arcsec] median offset to the east"),
        ("OFSN", "offset_north_arcsec", "[arcsec] to the north"), ("OFSERR", "error_arcsec", "[arcsec] its error"),
    )),
)  # fmt: skip


def write_comparison(header: Any, comparison: SkyComparison) -> None:
    """Write the numbers and tables of a comparison to a header.

    Parameters
    ----------
    header : of the FITS image; changed.
    comparison : the numbers.
    """
    header.update({keyword: (getattr(comparison, name), comment) for keyword, name, comment in CARDS})
    for field, columns in TABLE_CARDS:
        for number, row in enumerate(getattr(comparison, field), 1):
            header.update({f"{keyword}{number}": (row[key], comment) for keyword, key, comment in columns})
    if comparison.catalogue_flux_ratio is not None:
        header["CATOFFS"] = (comparison.catalogue_offset_arcsec, "[arcsec] median offset from the catalogue")
        header["CATFLUX"] = (comparison.catalogue_flux_ratio, "median flux over the catalogue's")
