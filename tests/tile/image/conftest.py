from pathlib import Path

import pytest
from point_source_ms import OPTIONS, SOURCES, Source, make_ms

from contimg.quality.image import QualityThresholds
from contimg.tile.image import image


@pytest.fixture(scope="session")
def tile_ms(tmp_path_factory) -> Path:
    """Four sources up to 1 degree off, an Airy beam that drifts by 0.9 degrees, noise; said to be calibrated."""
    path = tmp_path_factory.mktemp("tile") / "2026-02-22T23:17:51.ms"
    record = {"set": "2026-02-22T20:00:00_3C48", "calibrator": "3C48", "mjd": 61093.83, "tables": ["a.b"]}
    return make_ms(path, SOURCES, antennas=32, times=6, spacing=3.0, channels=48, sefd_jy=650.0, corrected=record)


@pytest.fixture(scope="session")
def tile(tile_ms):
    """The tile's image, compared with the catalogue of what is in it."""
    rows = [
        f"{name},{source.direction()[0]},{source.direction()[1]},{source.flux_jy}"
        for name, source in zip("abcd", SOURCES, strict=True)
    ]
    catalogue = tile_ms.parent / "catalogue.csv"
    catalogue.write_text("\n".join(["name,ra_deg,dec_deg,flux_jy", *rows]) + "\n")
    limits = QualityThresholds(min_beam_pixels=2.0)
    return image(tile_ms, tile_ms.parent / "images", OPTIONS.replace(catalogue=str(catalogue)), limits)


@pytest.fixture
def small_ms(tmp_path) -> Path:
    """A few antennas and channels, one source, no noise; a new one for each test."""
    return make_ms(tmp_path / "small.ms", (Source(0.0, 0.0, 1.0),), antennas=12, times=3, channels=16, airy=False)
