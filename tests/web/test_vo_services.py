"""VO services of a running panel, judged by pyvo, the VOTable schema and astropy's coordinates."""

import io
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits, votable
from astropy.utils.data import conf
from astropy.wcs import WCS
from celery_words import everybody
from flask.testing import FlaskClient
from judges import require
from published_survey import FIRST_MJD, SIDEREAL_DAY, SOURCES, Survey, add_epoch, build_survey
from running_service import RunningService
from served_panel import serving
from sqlalchemy import event

from contimg.settings import Settings
from web import create_app

require("pyvo", allow_module_level=True)
require("lxml", allow_module_level=True)
import pyvo  # noqa: E402
from lxml import etree  # noqa: E402
from pyvo.dal.exceptions import DALQueryError  # noqa: E402

SCHEMA = Path(votable.__file__).parent / "data" / "VOTable.v1.4.xsd"
OBSCORE = [
    "dataproduct_type", "calib_level", "obs_collection", "obs_id", "obs_publisher_did", "access_url", "access_format",
    "access_estsize", "target_name", "s_ra", "s_dec", "s_fov", "s_region", "s_xel1", "s_xel2", "s_resolution", "t_min",
    "t_max", "t_exptime", "t_resolution", "t_xel", "em_min", "em_max", "em_res_power", "em_xel", "o_ucd", "pol_states",
    "pol_xel", "facility_name", "instrument_name",
]  # fmt: skip
POLE, FAR = (120.0, 88.9), (211.0, 16.2)


@dataclass(frozen=True)
class Panel:
    url: str
    client: FlaskClient
    survey: Survey
    centres: dict[str, tuple[float, float]]


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panel]:
    """A panel over mosaics across right ascension 0h, at the pole, and on the other side of the sky."""
    survey = build_survey(tmp_path_factory.mktemp("survey"))
    centres = {key: ((0.2 * number) % 360, 16.2) for number, key in enumerate(survey.good)}
    for number, centre in ((4, POLE), (5, FAR)):
        centres[add_epoch(survey, number, "good", *centre)] = centre
    app = create_app(
        Settings(state_dir=survey.state), survey.store, RunningService(survey.store), inspect=everybody, fresh_s=0.0
    )  # fmt: skip
    with serving(app) as url:
        yield Panel(url.rstrip("/"), app.test_client(), survey, centres)
    survey.store.close()


@pytest.fixture(scope="module")
def sia(panel: Panel) -> pyvo.dal.SIA2Service:
    return pyvo.dal.SIA2Service(f"{panel.url}/vo/sia")


def covers(panel: Panel, key: str, directions: SkyCoord) -> bool:
    """Whether one of the directions is a pixel of a mosaic, by astropy's coordinates of its FITS file."""
    header = fits.getheader(panel.survey.products / f"{key}.fits")
    x, y = WCS(header).world_to_pixel(directions)
    with np.errstate(invalid="ignore"):
        inside = (np.abs(x - (header["NAXIS1"] - 1) / 2) < header["NAXIS1"] / 2) & (
            np.abs(y - (header["NAXIS2"] - 1) / 2) < header["NAXIS2"] / 2
        )
    near = directions.separation(SkyCoord(*panel.centres[key], unit=u.deg)) < 20 * u.deg
    return bool((inside & near).any())


def disc(ra_deg: float, dec_deg: float, radius_deg: float) -> SkyCoord:
    """Directions in a circle, closely."""
    radius, angle = np.meshgrid(np.linspace(0, radius_deg, 40), np.linspace(0, 360, 120))
    return SkyCoord(ra_deg, dec_deg, unit=u.deg).directional_offset_by(angle.ravel() * u.deg, radius.ravel() * u.deg)


def ids(results: pyvo.dal.DALResults) -> set[str]:
    return set(results["obs_id"])


def test_images_by_circles_on_the_whole_sky(panel: Panel, sia: pyvo.dal.SIA2Service) -> None:
    """Circles around borders, 0h and the pole; those that touch a border within 0.1 deg may be either."""
    rng = np.random.default_rng(5)
    circles = [(359.5, 16.2, 0.1), (0.1, 16.2, 0.1), (3.5, 16.2, 0.1), (300.0, 89.5, 0.2), (210.0, 17.0, 0.5)]
    circles += [(357.84, 16.2, 0.02), (358.04, 16.2, 0.02)]  # in one and in two of the three
    for centre in panel.centres.values():
        middle = SkyCoord(*centre, unit=u.deg)
        for angle, distance in zip(rng.uniform(0, 360, 5), rng.uniform(0, 5, 5), strict=True):
            moved = middle.directional_offset_by(angle * u.deg, distance * u.deg)
            circles.append((moved.ra.deg, moved.dec.deg, rng.uniform(0.05, 2)))
    answers = set()
    for ra_deg, dec_deg, radius_deg in circles:
        listed = ids(sia.search(pos=(ra_deg * u.deg, dec_deg * u.deg, radius_deg * u.deg)))
        sure = {key for key in panel.centres if covers(panel, key, disc(ra_deg, dec_deg, max(radius_deg - 0.1, 0)))}
        possible = {key for key in panel.centres if covers(panel, key, disc(ra_deg, dec_deg, radius_deg + 0.1))}
        assert sure <= listed <= possible, (ra_deg, dec_deg, radius_deg)
        answers.add(frozenset(listed))
    assert len(answers) > 4


def test_images_by_ranges_and_polygons(panel: Panel) -> None:
    def search(*positions: str) -> set[str]:
        return ids(pyvo.dal.sia2.SIA2Query(f"{panel.url}/vo/sia", POS=list(positions)).execute())

    strip = set(panel.survey.good)
    pole, far = (next(key for key, centre in panel.centres.items() if centre == place) for place in (POLE, FAR))
    assert search("RANGE 359 360 16 16.5") == search("RANGE 0 0.001 16.2 16.2") == strip
    assert search("RANGE 0 360 85 90") == search("RANGE 0 360 89.99 +Inf") == {pole}
    assert search("RANGE -Inf +Inf -Inf +Inf") == strip | {pole, far}
    assert search("RANGE 300 301 -90 90") == {pole}, "the pole is in its image"
    assert search("POLYGON 359 16 1 16 1 17 359 17") == search("POLYGON 359 17 1 17 1 16 359 16") == strip
    assert search("POLYGON 0 87 120 87 240 87") == {pole}
    assert search("CIRCLE 211 16.2 0", "POLYGON 0 87 120 87 240 87") == {pole, far}
    assert search("POLYGON 30 16 31 16 31 17") == search("CIRCLE 120 -88.9 5") == set()


def test_images_by_time_band_and_text(panel: Panel, sia: pyvo.dal.SIA2Service) -> None:
    first, second = panel.survey.good[:2]
    time = FIRST_MJD + SIDEREAL_DAY
    assert ids(pyvo.dal.sia2.SIA2Query(f"{panel.url}/vo/sia", TIME=f"{time} {time + 0.01}").execute()) == {second}
    assert ids(pyvo.dal.sia2.SIA2Query(f"{panel.url}/vo/sia", TIME=f"-Inf {FIRST_MJD}").execute()) == {first}
    everything = set(panel.centres)
    for parameters, expected in (
        ({"BAND": "0.21 0.22"}, everything), ({"BAND": "1e-6 1e-3"}, set()), ({"POL": "I"}, everything),
        ({"POL": "Q"}, set()), ({"CALIB": "3"}, everything), ({"CALIB": "1 2"}, set()), ({"FOV": "4 6"}, everything),
        ({"FOV": "0 1"}, set()), ({"SPATRES": "20 22"}, everything), ({"SPATRES": "+5"}, set()),
        ({"EXPTIME": "600 700"}, everything), ({"SPECRP": "0 10"}, set()), ({"DPTYPE": "image"}, everything),
        ({"DPTYPE": "cube"}, set()), ({"FACILITY": "dsa-110"}, everything), ({"INSTRUMENT": "VLA"}, set()),
        ({"COLLECTION": "DSA-110 continuum"}, everything), ({"FORMAT": "application/fits"}, everything),
        ({"ID": f"ivo://contimg/mosaics?live/{first}"}, {first}), ({"TARGET": "strip D+889"}, None),
    ):  # fmt: skip
        listed = ids(pyvo.dal.sia2.SIA2Query(f"{panel.url}/vo/sia", **parameters).execute())
        assert listed == expected if expected is not None else len(listed) == 1, parameters
    assert (
        len(pyvo.dal.sia2.SIA2Query(f"{panel.url}/vo/sia", GRADE=["good", "suspect"]).execute()) == len(everything) + 1
    )


def test_records_are_of_obscore(panel: Panel, sia: pyvo.dal.SIA2Service) -> None:
    (record,) = sia.search(pos=(211 * u.deg, 16.2 * u.deg, 0.1 * u.deg))
    assert (record.dataproduct_type, record.calib_level, record.facility_name) == ("image", 3, "DSA-110")
    assert record.em_min.to_value("m") == pytest.approx(299792458 / (1.405e9 + 0.935e8))
    assert record.s_resolution.to_value("arcsec") == 21.0
    outline = np.array([float(word) for word in record.s_region.split()[2:]]).reshape(-1, 2)
    header = fits.getheader(panel.survey.products / f"{record.obs_id}.fits")
    corners = WCS(header).calc_footprint()
    for ra_deg, dec_deg in corners:
        distance = SkyCoord(*outline.T, unit=u.deg).separation(SkyCoord(ra_deg, dec_deg, unit=u.deg))
        assert distance.min() < 0.05 * u.deg
    with urllib.request.urlopen(record.access_url) as answer:
        assert fits.getdata(io.BytesIO(answer.read())).shape == (160, 260)
    names = {field.name for field in sia.search(maxrec=1).fielddescs}
    assert set(OBSCORE) <= names


def test_records_are_limited(panel: Panel, sia: pyvo.dal.SIA2Service) -> None:
    limited = sia.search(maxrec=2)
    assert (len(limited), limited.status[0]) == (2, "OVERFLOW")
    status = panel.client.get("/vo/sia?MAXREC=0").text
    assert 'value="OVERFLOW"' in status
    assert "<TR>" not in status


@pytest.mark.parametrize("query", [
    "POS=CIRCLE 400 16 1", "POS=BOX 1 2 3 4", "POS=CIRCLE 1 2", "POS=POLYGON 0 0 1 1", "BAND=a", "TIME=3 2",
    "MAXREC=-1", "MAXREC=x", "RESPONSEFORMAT=text/csv", "GRADE=odd", "POS=CIRCLE NaN 16 1",
])  # fmt: skip
def test_wrong_parameters_are_votable_errors(panel: Panel, query: str) -> None:
    answer = panel.client.get(f"/vo/sia?{query}")
    assert (answer.status_code, answer.mimetype) == (400, "application/x-votable+xml")
    document = votable.parse(io.BytesIO(answer.data), verify="exception")
    status = next(info for info in document.resources[0].infos if info.name == "QUERY_STATUS")
    assert status.value == "ERROR"
    assert status.content.startswith("UsageFault: ")


def test_pyvo_raises_the_error_of_the_service(panel: Panel) -> None:
    with pytest.raises(DALQueryError, match="MAXREC"):
        pyvo.dal.sia2.SIA2Query(f"{panel.url}/vo/sia", MAXREC=-4).execute()
    with pytest.raises(DALQueryError, match="SR"):
        pyvo.dal.SCSQuery(f"{panel.url}/vo/cone?RA=1&DEC=2").execute()


def test_cone_search_by_pyvo(panel: Panel) -> None:
    service = pyvo.dal.SCSService(f"{panel.url}/vo/cone")
    sources = panel.survey.store.sky.sources(500).sources
    positions = SkyCoord([s.ra_deg for s in sources], [s.dec_deg for s in sources], unit=u.deg)
    centre = SkyCoord(0.05, 16.2, unit=u.deg)
    expected = {
        s.name for s, distance in zip(sources, positions.separation(centre).deg, strict=True) if distance <= 0.4
    }
    found_names = {record.id for record in service.search(pos=centre, radius=0.4)}
    assert found_names == expected
    assert 5 < len(expected) < SOURCES
    columns = [len(service.search(pos=centre, radius=0.4, verbosity=verbosity).fieldnames) for verbosity in (1, 2, 3)]
    assert columns == sorted(set(columns))
    assert columns[0] == 4
    assert len(service.search(pos=centre, radius=0)) == 0
    limited = panel.client.get("/vo/cone?ra=0.05&dec=16.2&sr=1&maxrec=3").text
    assert (limited.count("<TR>"), limited.count("OVERFLOW")) == (3, 1)


def test_light_curve_from_the_cone_search(panel: Panel) -> None:
    results = pyvo.dal.SCSService(f"{panel.url}/vo/cone").search(pos=SkyCoord(0, 16.2, unit=u.deg), radius=1)
    record = results[0]
    document = votable.parse(io.BytesIO(urllib.request.urlopen(record["light_curve"]).read()), verify="exception")
    resource = document.resources[0]
    (system,) = resource.time_systems
    assert (system.timescale, system.refposition, system.timeorigin) == ("UTC", "TOPOCENTER", 2400000.5)
    table = resource.tables[0]
    assert next(field for field in table.fields if field.name == "mjd").ref == system.ID
    rows = table.to_table()
    curve = panel.survey.store.sky.light_curve(int(record["id"])).measurements
    np.testing.assert_allclose(rows["flux"], [point.flux_jy for point in curve])
    (service,) = results.iter_adhocservices()
    values = {param.name: param.value for param in service.params}
    assert values["accessURL"] == f"{panel.url}/vo/lightcurve"
    assert panel.client.get("/vo/lightcurve?ID=99999").status_code == 404
    assert panel.client.get("/vo/lightcurve").status_code == 400


def test_documents_follow_the_schema(panel: Panel) -> None:
    schema = etree.XMLSchema(etree.parse(SCHEMA))
    source = panel.survey.store.sky.sources(1).sources[0]
    for path in (
        "/vo/sia", "/vo/sia?MAXREC=1", "/vo/sia?POS=x", "/vo/cone?RA=0&DEC=16&SR=1&VERB=3", "/vo/cone?RA=0",
        f"/vo/lightcurve?ID={source.id}", "/vo/nothing", "/api/sources/cone?RA=0&DEC=16&SR=1",
    ):  # fmt: skip
        schema.assertValid(etree.fromstring(panel.client.get(path).data))


def test_services_describe_themselves(panel: Panel, sia: pyvo.dal.SIA2Service) -> None:
    assert sia.available
    assert sia.query_ep == f"{panel.url}/vo/sia"
    standards = {capability.standardid for capability in sia.capabilities}
    assert {"ivo://ivoa.net/std/SIA#query-2.0", "ivo://ivoa.net/std/VOSI#availability"} <= standards
    tables = pyvo.io.vosi.parse_tables(io.BytesIO(panel.client.get("/vo/cone/tables").data).read)
    (table,) = tables.iter_tables()
    assert {"name", "ra", "dec", "light_curve"} <= {column.name for column in table.columns}
    capabilities = pyvo.io.vosi.parse_capabilities(io.BytesIO(panel.client.get("/vo/cone/capabilities").data).read)
    cone = next(entry for entry in capabilities if entry.standardid == "ivo://ivoa.net/std/ConeSearch")
    assert cone.interfaces[0].accessurls[0].content.endswith("/vo/cone")
    assert panel.client.get("/vo/odd/capabilities").status_code == 404


def test_answers_have_entity_tags_and_need_the_view_token(panel: Panel) -> None:
    answer = panel.client.get("/vo/sia?MAXREC=1")
    again = panel.client.get("/vo/sia?MAXREC=1", headers={"If-None-Match": answer.headers["ETag"]})
    assert (answer.status_code, again.status_code) == (200, 304)
    app = create_app(
        Settings(state_dir=panel.survey.state, token="o" * 20, view_token="v" * 20), panel.survey.store,
        RunningService(panel.survey.store), inspect=everybody,
    )  # fmt: skip
    closed = app.test_client()
    refused = closed.get("/vo/sia")
    assert (refused.status_code, refused.mimetype) == (401, "application/x-votable+xml")
    assert closed.get("/vo/sia", headers={"Authorization": f"Bearer {'v' * 20}"}).status_code == 200


def test_position_search_uses_the_index(panel: Panel) -> None:
    statements = []

    def note(_connection, _cursor, statement, parameters, *_):
        if "mosaic_cells" in statement:
            statements.append((statement, parameters))

    engine = panel.survey.store.database.engine
    event.listen(engine, "before_cursor_execute", note)
    panel.client.get("/vo/sia?POS=CIRCLE 1 16.2 0.1")
    event.remove(engine, "before_cursor_execute", note)
    (statement, parameters) = statements[0]
    with engine.connect() as connection:
        plan = " ".join(
            str(row) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        )
    assert "SEARCH mosaic_cells" in plan
    assert "SCAN mosaics" not in plan


def test_commands_of_the_documentation_run(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    page = (Path(__file__).parents[2] / "docs" / "publish.md").read_text().partition("## VO services")[2]
    for written, here in (("http://127.0.0.1:8080", panel.url), ("24.42", "0.05"), ("33.16", "16.2")):
        page = page.replace(written, here)
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    with conf.set_temp("allow_internet", True):
        exec(code, names)
    assert len(names["curve"]) > 0
    assert fits.getdata(tmp_path / "mosaic.fits").shape == (160, 260)
    commands = re.findall(r"^curl .*$", page, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        subprocess.run(command, shell=True, check=True)
    assert len(votable.parse_single_table(tmp_path / "images.vot").array) == 1
    assert len(votable.parse_single_table(tmp_path / "sources.vot").array) > 0


def test_pages_name_the_services(panel: Panel) -> None:
    for page in ("/sky", "/sources"):
        assert "/vo/cone</code>" in panel.client.get(page).text
