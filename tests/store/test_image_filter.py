"""The conditions on images, on both databases; the circle on the sky against astropy's separation."""

from dataclasses import replace
from pathlib import Path

import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete
from store_play import T0, Telescope
from store_steps import IMAGE, MS, commit

from contimg.common.errors import BadInput
from contimg.store import ImageFilter, Stage, Store, tables
from contimg.store.products.tile_products import fill_row
from contimg.tile.products import CalibratedMS

NIGHT_MJD = 61094.0
TOLERANCE_DEG = 1e-7
RA_DEG = st.floats(0.0, 360.0)
DEC_DEG = st.floats(-90.0, 90.0)


@pytest.fixture
def night(store: Store, telescope: Telescope) -> list[int]:
    """Ids of four images around midnight UTC: good, suspect, bad and ungraded; the first lacks two subbands."""
    grades = ("good", "suspect", "bad", None)
    ids = []
    for n, grade in enumerate(grades):
        group = telescope.whole_group(n)
        commit(store, group, Stage.CONVERT, replace(MS, path=Path(f"/p/{n}.ms")))
        commit(store, group, Stage.CALIBRATE, CalibratedMS("s1", "nearest", 0.1 * n))
        image = replace(
            IMAGE, fits_path=Path(f"/p/{n}.fits"), mjd=NIGHT_MJD + (n - 1.5) / 24, ra_deg=(359.0 + n) % 360,
            dec_deg=33.0 + n, verdict=grade, calibration_set=None if n == 2 else "s1", expected_rms_jy=0.001,
            missing_subbands=() if n else (3, 7), unflagged_fraction=1 - 0.1 * n,
        )  # fmt: skip
        commit(store, group, Stage.IMAGE, image)
        stored = store.products.image_of(group)
        assert stored is not None
        ids.append(stored.id)
    return ids


@pytest.mark.parametrize(
    ("conditions", "indices"),
    [
        ({}, [3, 2, 1, 0]),
        ({"since_mjd": NIGHT_MJD}, [3, 2]),
        ({"until_mjd": NIGHT_MJD}, [1, 0]),
        ({"grade": "suspect"}, [1]),
        ({"calibrated": False}, [2]),
        ({"calibrated": True, "until_mjd": NIGHT_MJD}, [1, 0]),
        ({"ra_deg": 0.0, "dec_deg": 34.0, "radius_deg": 0.5}, [1]),
        ({"ra_deg": 0.2, "dec_deg": 33.5, "radius_deg": 1.5}, [1, 0]),
        ({"declination_deg": 35.4}, [2]),
        ({"declination_deg": 35.6, "strip_deg": 0.7}, [3, 2]),
    ],
)
def test_filter_selects_images(
    store: Store, night: list[int], conditions: dict[str, float], indices: list[int]
) -> None:
    selection = ImageFilter(**conditions)  # type: ignore[arg-type]
    ids = [night[index] for index in indices]
    assert [image.id for image in store.products.find_images(selection)] == ids
    assert [tile.id for tile in store.products.tiles(selection)] == ids[::-1]
    assert sum(store.products.count_images(selection).values()) == len(ids)
    assert store.products.find_images(replace(selection, ids=(night[0],))) == tuple(
        image for image in store.products.find_images(selection) if image.id == night[0]
    )


def test_images_are_counted_by_grade_and_night(store: Store, night: list[int]) -> None:
    assert store.products.count_images(ImageFilter()) == {"good": 1, "suspect": 1, "bad": 1, "": 1}
    nights = store.products.count_nights(ImageFilter())
    assert list(nights.items()) == [(61094, {"bad": 1, "": 1}), (61093, {"good": 1, "suspect": 1})]
    assert store.products.count_nights(ImageFilter(grade="good")) == {61093: {"good": 1}}


def test_tiles_carry_noise_ratio_and_missing_subbands(store: Store, night: list[int]) -> None:
    first, *_, last = store.products.tiles(ImageFilter())
    assert (first.missing_subbands, last.missing_subbands) == ((3, 7), ())
    assert first.noise_ratio == pytest.approx(3.0)
    assert last.flagged_fraction == pytest.approx(0.3)


def test_pages_of_a_selection_have_no_image_twice(store: Store, night: list[int]) -> None:
    selection = ImageFilter(calibrated=True)
    first = store.products.find_images(selection, 2)
    second = store.products.find_images(selection, 2, before=(first[-1].mjd, first[-1].id))
    assert [image.id for image in first + second] == [night[3], night[1], night[0]]
    assert len(store.products.find_images(selection, None)) == 3


@pytest.mark.parametrize(
    "conditions",
    [{"ra_deg": 10.0}, {"ra_deg": 10.0, "dec_deg": 1.0}, {"ra_deg": 10.0, "dec_deg": 91.0, "radius_deg": 1.0},
     {"ra_deg": 361.0, "dec_deg": 1.0, "radius_deg": 1.0}, {"ra_deg": 1.0, "dec_deg": 1.0, "radius_deg": -1.0},
     {"declination_deg": float("nan")}],
)  # fmt: skip
def test_incomplete_or_impossible_circle_is_refused(conditions: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        ImageFilter(**conditions)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with one group and one job, whose image each example replaces."""
    store = Store.open(tmp_path_factory.mktemp("sky") / "store.sqlite3", clock=lambda: T0)
    Telescope(store).whole_group()
    return store


def place_images(store: Store, positions: list[tuple[float, float]]) -> None:
    with store.database.write() as session:
        session.execute(delete(tables.Image))
        session.execute(delete(tables.Job).where(tables.Job.processing != "live"))
        (job,) = session.query(tables.Job).all()
        for n, (ra_deg, dec_deg) in enumerate(positions):
            campaign = tables.Job(
                kind=job.kind, key=job.key, processing=f"c{n}", priority=0, reference_s=T0,
                state="completed", stage="image", created_at=T0, updated_at=T0,
            )  # fmt: skip
            session.add(campaign)
            session.flush()
            row = tables.Image(job_id=campaign.id, processing="live", group_id=job.key, created_at=T0)
            fill_row(row, replace(IMAGE, fits_path=Path(f"/p/{n}.fits"), ra_deg=ra_deg, dec_deg=dec_deg))
            session.add(row)


@given(
    centre=st.tuples(RA_DEG, DEC_DEG),
    radius_deg=st.floats(0.0, 180.0),
    positions=st.lists(st.tuples(RA_DEG, DEC_DEG), min_size=1, max_size=6),
)
@example(centre=(0.0, 33.0), radius_deg=1.0, positions=[(359.5, 33.0), (0.5, 33.0), (358.0, 33.0), (360.0, 33.0)])
@example(centre=(180.0, 89.9), radius_deg=0.5, positions=[(0.0, 89.7), (0.0, 89.5), (90.0, 90.0)])
@example(centre=(10.0, -90.0), radius_deg=2.0, positions=[(200.0, -88.5), (20.0, -87.5)])
@example(centre=(24.0, 33.0), radius_deg=1e-4, positions=[(24.0, 33.00005), (24.0, 33.0002), (24.0, 33.0)])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_circle_agrees_with_astropy(
    sky: Store, centre: tuple[float, float], radius_deg: float, positions: list[tuple[float, float]]
) -> None:
    place_images(sky, positions)
    circle = ImageFilter(ra_deg=centre[0], dec_deg=centre[1], radius_deg=radius_deg)
    selected = {image.fits_path.stem for image in sky.products.find_images(circle)}
    separations_deg = SkyCoord(positions, unit=u.deg).separation(SkyCoord(*centre, unit=u.deg)).deg
    for n, separation_deg in enumerate(separations_deg):
        if abs(separation_deg - radius_deg) > TOLERANCE_DEG:
            assert (str(n) in selected) == (separation_deg < radius_deg)


def test_series_follow_time_of_observation(store: Store, night: list[int]) -> None:
    since_s = (NIGHT_MJD - 40587 - 2 / 24) * 86400
    span = since_s, since_s + 4 * 3600
    hourly = store.products.series("image.flagged_fraction", *span, 4)
    assert [(bucket.at - since_s) / 3600 for bucket in hourly] == pytest.approx([0.5, 1.5, 2.5, 3.5])
    assert [bucket.mean for bucket in hourly] == pytest.approx([0, 0.1, 0.2, 0.3])
    (whole,) = store.products.series("image.noise_ratio", *span, 1)
    assert (whole.minimum, whole.mean, whole.maximum) == pytest.approx((3.0, 3.0, 3.0))
    (bad,) = store.products.series("image.bad", *span, 1)
    assert (bad.minimum, bad.mean, bad.maximum) == (0.25, 0.25, 0.25)
    assert store.products.series("image.bad", span[1], span[1] + 60, 1) == ()
