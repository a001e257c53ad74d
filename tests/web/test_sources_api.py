"""Sources, light curves and candidates in the API: values, conditions, cones, errors, VOTable, stamps, client."""

import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import votable
from astropy.io.votable.exceptions import W06
from measured_sky import (
    DIM,
    EPOCHS,
    FLAGGED,
    FLAGGED_EPOCH,
    FLARE,
    FLARE_EPOCH,
    IMAGED,
    REFUSED_EPOCH,
    SOURCES,
    STEADY,
    SkyPanel,
)
from PIL import Image
from running_service import TOKEN

from contimg.client import PanelClient
from contimg.common.errors import BadInput, Misconfigured

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "light_curves.ipynb"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}


def separation_deg(ra_deg: np.ndarray, dec_deg: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """Distance on the sphere by the cosine rule, which is not the store's formula."""
    ra, dec, ra0, dec0 = (np.deg2rad(value) for value in (ra_deg, dec_deg, *centre))
    return np.rad2deg(np.arccos(np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(ra - ra0)))


def test_sources_are_listed_by_variability(sky_panel: SkyPanel) -> None:
    answer = sky_panel.client.get("/api/sources?limit=25").get_json()
    assert (answer["total"], len(answer["sources"])) == (SOURCES, 25)
    first = answer["sources"][0]
    assert first["identifiers"] == {"nvss": f"N{FLARE}"}
    names = [source["name"] for source in answer["sources"]]
    while answer["next"]:
        answer = sky_panel.client.get("/api/sources", query_string={"limit": 25, "cursor": answer["next"]}).get_json()
        names += [source["name"] for source in answer["sources"]]
    assert len(names) == len(set(names)) == SOURCES


def test_statistics_are_those_of_the_light_curve(sky_panel: SkyPanel) -> None:
    source = sky_panel.find(FLARE)
    curve = sky_panel.client.get(f"/api/sources/{source.id}/lightcurve?neighbours=3").get_json()
    counted = [row for row in curve["measurements"] if row["is_counted"]]
    assert len(curve["measurements"]) == EPOCHS
    assert len(counted) == curve["source"]["variability"]["n"] == EPOCHS - 1
    flux, error = (np.array([row[name] for row in counted]) for name in ("flux_jy", "flux_error_jy"))
    weight = error**-2
    mean = np.average(flux, weights=weight)
    eta = np.sum(weight * (flux - mean) ** 2) / (len(flux) - 1)
    assert curve["source"]["variability"]["eta"] == pytest.approx(eta, rel=1e-6)
    assert curve["source"]["variability"]["modulation_index"] == pytest.approx(
        np.std(flux, ddof=1) / np.mean(flux), rel=1e-6
    )
    assert counted[FLARE_EPOCH]["flux_jy"] == pytest.approx(0.08, abs=0.002)
    distances = [row["source"]["separation_deg"] for row in curve["neighbours"]]
    assert distances == sorted(distances)
    assert len(distances) == 3
    assert len(curve["neighbours"][0]["measurements"]) == EPOCHS
    assert sky_panel.client.get(f"/api/sources/{source.id}").get_json()["name"] == source.name


def test_measurements_state_limits_flags_and_use(sky_panel: SkyPanel) -> None:
    def read(index: int) -> list[dict]:
        return sky_panel.client.get(f"/api/sources/{sky_panel.find(index).id}/lightcurve").get_json()["measurements"]

    flagged = read(FLAGGED)
    assert (flagged[FLAGGED_EPOCH]["flags"], flagged[FLAGGED_EPOCH]["is_counted"]) == (["BAD_POSITIONS", "EDGE"], False)
    assert flagged[FLAGGED_EPOCH]["uncounted_reason"] == "hard flag"
    assert (flagged[0]["flags"], flagged[0]["is_counted"]) == (["EDGE"], True)
    assert flagged[0]["uncounted_reason"] is None
    assert "normalisation" in flagged[REFUSED_EPOCH]["uncounted_reason"]
    dim = [row for row in read(DIM) if row["is_counted"]]
    assert not any(row["is_detected"] for row in dim)
    assert [row["limit_jy"] for row in dim] == pytest.approx([3 * row["flux_error_jy"] for row in dim])


def test_cone_across_right_ascension_zero(sky_panel: SkyPanel) -> None:
    """Cones of both sides of 0h hold the sources of both."""
    sky = sky_panel.sky
    for centre, radius in (((0.1, 33.2), 0.6), ((359.9, 33.2), 0.6), ((360.0, 33.2), 0.3)):
        distance = separation_deg(sky.ra_deg, sky.dec_deg, centre)
        query = {"ra": centre[0], "dec": centre[1], "radius": radius, "limit": 500}
        answer = sky_panel.client.get("/api/sources", query_string=query).get_json()
        assert {source["identifiers"]["nvss"] for source in answer["sources"]} == {
            f"N{index}" for index in np.flatnonzero(distance <= radius)
        }
        listed = [source["separation_deg"] for source in answer["sources"]]
        assert listed == sorted(listed)
    first = sky_panel.client.get("/api/sources", query_string={**query, "limit": 3}).get_json()
    second = sky_panel.client.get(
        "/api/sources", query_string={**query, "limit": 3, "cursor": first["next"]}
    ).get_json()
    assert [row["name"] for page in (first, second) for row in page["sources"]] == [
        row["name"] for row in answer["sources"][:6]
    ]
    wide = {"ra": 0, "dec": 33.2, "radius": 5}
    assert sky_panel.client.get("/api/sources", query_string={**wide, "eta_min": 10}).get_json()["total"] == 1
    assert sky_panel.client.get("/api/sources", query_string={**wide, "name": f"n{FLARE}"}).get_json()["total"] > 0


@pytest.mark.parametrize(("query", "total"), [
    ("eta_min=10", 1), ("eta_min=10&eta_max=11", 0), ("v_min=0.1&flux_min=0.03", 1), ("flux_max=0.002", 1),
    (f"n_min={EPOCHS - 1}", SOURCES - 1), (f"n_min={EPOCHS}", 0), ("name=J0", None), ("name=nothing", 0),
])  # fmt: skip
def test_sources_by_limits(sky_panel: SkyPanel, query: str, total: int | None) -> None:
    answer = sky_panel.client.get(f"/api/sources?{query}").get_json()
    assert answer["total"] == total if total is not None else 0 < answer["total"] < SOURCES


@pytest.mark.parametrize(("path", "status", "code"), [
    ("/api/sources/999", 404, "no_such_source"), ("/api/sources/999/lightcurve", 404, "no_such_source"),
    (f"/api/sources/{2**70}", 404, "no_such_source"), ("/api/sources?ra=10&dec=3", 400, "invalid_request"),
    ("/api/sources?ra=10&dec=3&radius=11", 400, "invalid_request"), ("/api/sources?eta=3", 400, "invalid_request"),
    ("/api/candidates/99", 404, "no_such_candidate"), ("/api/candidates?state=odd", 400, "invalid_request"),
    ("/api/sources/1/lightcurve?neighbours=9", 400, "invalid_request"),
    ("/api/sources/cone?RA=10&DEC=33", 400, "invalid_request"),
])  # fmt: skip
def test_errors_are_problem_details(sky_panel: SkyPanel, path: str, status: int, code: str) -> None:
    answer = sky_panel.client.get(path)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert answer.get_json()["code"] == code


def test_cone_search_is_a_votable(sky_panel: SkyPanel) -> None:
    answer = sky_panel.client.get("/api/sources/cone?RA=0.1&DEC=33.2&SR=0.6&VERB=2")
    assert answer.mimetype == "application/x-votable+xml"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", W06)  # the standard's UCDs are those of the first list
        document = votable.parse(io.BytesIO(answer.data), verify="warn")
    table = document.get_first_table()
    ucds = {field.ucd: field.name for field in table.fields}
    rows = table.to_table()
    ra, dec = (np.asarray(rows[ucds[ucd]], dtype=float) for ucd in ("POS_EQ_RA_MAIN", "POS_EQ_DEC_MAIN"))
    assert (separation_deg(ra, dec, (0.1, 33.2)) <= 0.6).all()
    sky = sky_panel.sky
    assert len(rows) == np.count_nonzero(separation_deg(sky.ra_deg, sky.dec_deg, (0.1, 33.2)) <= 0.6)
    assert set(rows[ucds["ID_MAIN"]]) <= {source.name for source in sky_panel.store.sky.sources(500).sources}
    nothing = sky_panel.client.get("/api/sources/cone?RA=180&DEC=-60&SR=0.1")
    assert len(votable.parse(io.BytesIO(nothing.data)).get_first_table().array) == 0


def test_candidate_state_needs_the_token(sky_panel: SkyPanel) -> None:
    answer = sky_panel.client.get("/api/candidates").get_json()
    assert answer["total"] == 2
    (candidate,) = (row for row in answer["candidates"] if row["kind"] == "variable")
    path = f"/api/candidates/{candidate['id']}"
    assert sky_panel.client.post(path, json={"state": "watching"}).status_code == 401
    for body in ({}, {"state": "odd"}, {"state": "watching", "note": "a\nb"}, {"state": "new", "extra": 1}):
        assert sky_panel.client.post(path, json=body, headers=OPERATOR).status_code == 400
    body = {"state": "watching", "note": "rises since the 12th", "name": "Vera"}
    changed = sky_panel.client.post(path, json=body, headers=OPERATOR).get_json()
    assert (changed["state"], changed["changed_by"], changed["source_name"]) == (
        "watching", "Vera", sky_panel.find(FLARE).name,
    )  # fmt: skip
    assert [(note["state"], note["text"], note["name"]) for note in changed["notes"]] == [
        ("watching", "rises since the 12th", "Vera")
    ]
    listed = sky_panel.client.get("/api/candidates?state=watching").get_json()
    assert [row["id"] for row in listed["candidates"]] == [candidate["id"]]
    texts = [event.text for event in sky_panel.store.events.last(5)]
    assert any("watching" in text and "Vera" in text for text in texts)
    first = sky_panel.client.get("/api/candidates?limit=1").get_json()
    second = sky_panel.client.get("/api/candidates", query_string={"limit": 1, "cursor": first["next"]}).get_json()
    assert {row["id"] for page in (first, second) for row in page["candidates"]} == {
        row["id"] for row in answer["candidates"]
    }
    assert second["next"] is None
    assert sky_panel.client.post("/api/candidates/99", json=body, headers=OPERATOR).status_code == 404


def test_stamps_have_one_scale_of_colours(sky_panel: SkyPanel) -> None:
    """The flare is brighter in its own epoch, at the same pixel of each stamp."""
    source = sky_panel.find(FLARE)
    ids = {row.epoch: row.mosaic_id for row in sky_panel.store.sky.light_curve(source.id).measurements}
    stamps = {}
    for epoch in IMAGED:
        answer = sky_panel.client.get(f"/sources/{source.id}/stamps/{ids[sky_panel.sky.keys[epoch]]}.png")
        assert answer.mimetype == "image/png"
        stamps[epoch] = np.asarray(Image.open(io.BytesIO(answer.data)).convert("L"), dtype=float)
    peaks = {epoch: np.unravel_index(np.argmax(stamp), stamp.shape) for epoch, stamp in stamps.items()}
    centre = np.array(stamps[0].shape) / 2
    for peak in peaks.values():
        assert np.abs(np.array(peak) - centre).max() <= 4
    assert stamps[FLARE_EPOCH].max() > stamps[0].max() + 20
    assert sky_panel.client.get(f"/sources/{source.id}/stamps/99.png").status_code == 404
    assert sky_panel.client.get(f"/sources/999/stamps/{ids[sky_panel.sky.keys[0]]}.png").status_code == 404


def test_client_reads_sources_and_light_curves(sky_panel: SkyPanel) -> None:
    reader = PanelClient(sky_panel.url, "")
    (variable,) = reader.sources(eta_min=10)
    assert variable["identifiers"]["nvss"] == f"N{FLARE}"
    assert reader.source(variable["id"])["variability"] == variable["variability"]
    assert len(reader.sources(ra=0, dec=33.2, radius=5)) == SOURCES
    assert len(reader.sources(limit=7)) == 7
    curve = reader.light_curve(variable["id"], neighbours=2)
    table = curve.measurements.table()
    assert (len(table), str(table["flux_jy"].unit)) == (EPOCHS, "Jy")
    assert len(curve.counted()) == EPOCHS - 1
    assert [len(neighbour.measurements) for neighbour in curve.neighbours] == [EPOCHS, EPOCHS]
    with pytest.raises(BadInput, match="404"):
        reader.light_curve(999)
    (new,) = reader.candidates(state="new")
    with pytest.raises(Misconfigured, match="401"):
        reader.set_candidate_state(new["id"], "dismissed")
    changed = PanelClient(sky_panel.url, TOKEN).set_candidate_state(new["id"], "dismissed", "an artefact", "Vera")
    assert (changed["state"], changed["source_id"]) == ("dismissed", sky_panel.find(STEADY).id)


def test_notebook_runs_against_a_live_panel(sky_panel: SkyPanel, tmp_path: Path) -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells)
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    check = "\nassert np.isclose(eta, curve.source['variability']['eta'], rtol=1e-3) and len(sources) > 50"
    environment = os.environ | {
        "CONTIMG_URL": sky_panel.url,
        "CONTIMG_TOKEN": TOKEN,
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code + check], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert sky_panel.find(FLARE).name in done.stdout
