"""Reference catalogues: built from a site's tables or the pipeline's own images, merged, checked, queried."""

from contimg.sky.catalogue.catalogue import (
    MERGED,
    PIPELINE,
    SIMULATED,
    SURVEY,
    Catalogue,
    Provenance,
    installed_catalogues,
    open_catalogue,
    reference_catalogue,
)  # fmt: skip
from contimg.sky.catalogue.sources import CatalogueSources
from contimg.sky.catalogue.writing import write_catalogue

__all__ = [
    "MERGED", "PIPELINE", "SIMULATED", "SURVEY", "Catalogue", "CatalogueSources", "Provenance", "installed_catalogues",
    "open_catalogue", "reference_catalogue", "write_catalogue",
]  # fmt: skip
