"""`contimg catalogue`: build, list, show, query, merge, check, and the setting of the reference."""

import json

import pytest

from contimg.common.errors import BadInput, Misconfigured

VLASS = """Component_name,RA,DEC,E_RA,E_DEC,Total_flux,E_Total_flux,Peak_flux,E_Peak_flux,Duplicate_flag,Quality_flag
A,359.999,-5.0,1e-5,1e-5,60.0,2.0,59.0,1.0,0,0
B,0.5,-5.2,1e-5,1e-5,7.5,0.4,7.3,0.2,0,0
"""


@pytest.fixture
def tables(tmp_path):
    (tmp_path / "vlass.csv").write_text(VLASS)
    (tmp_path / "site.txt").write_text("359.9990 -5.0000 100.0\n 10.0000 80.0000  50.0\n")
    return tmp_path


def test_catalogues_from_tables_to_the_merged_list(run, tables):
    assert "catalogue build" in run("catalogue", "list")
    assert json.loads(run("catalogue", "list", "--json")) == []
    built = json.loads(run("catalogue", "build", "vlass", str(tables / "vlass.csv"), "--json"))
    assert (built["n_sources"], built["kind"], built["frequency_hz"]) == (2, "survey", 3e9)
    assert built["path"] == str(tables / "state" / "catalogues" / "vlass.catalogue")
    site = (
        "site", str(tables / "site.txt"), "--columns", "ra=1-8,dec=w2,flux=w3", "--flux-unit", "mJy",
        "--frequency-mhz", "1400", "--beam-arcsec", "45", "--flux-limit-mjy", "20",
    )  # fmt: skip
    run("catalogue", "build", *site)
    with pytest.raises(BadInput, match="--replace"):
        run("catalogue", "build", *site)
    run("catalogue", "build", *site, "--replace")
    with pytest.raises(Misconfigured, match="CONTIMG_REFERENCE_CATALOGUE"):  # two, and none is merged
        run("catalogue", "query", "0", "-5", "1")
    merged = json.loads(run("catalogue", "merge", "all", "site", "vlass", "--json"))
    assert (merged["kind"], merged["n_sources"], merged["flux_limit_jy"]) == ("merged", 3, 0.02)
    answer = json.loads(run("catalogue", "query", "0", "-5", "1", "--json"))
    assert (answer["catalogue"]["name"], answer["total"]) == ("all", 2)
    first, second = answer["sources"]
    assert {entry["catalogue"] for entry in first["identifications"]} == {"site", "vlass"}
    assert first["flux_jy"] == pytest.approx(0.1)
    assert not first["is_index_assumed"]
    assert second["source_id"] == "vlass B"
    lines = run("catalogue", "list").splitlines()
    assert [line.split()[0] for line in lines] == ["*", "site", "vlass"]
    assert "vlass" in run("catalogue", "show", "all")
    assert json.loads(run("catalogue", "check", "--json"))["faults"] == []


def test_reference_of_the_setting_is_used(run, tables, monkeypatch):
    run("catalogue", "build", "vlass", str(tables / "vlass.csv"))
    run("catalogue", "build", "vlass-new", str(tables / "vlass.csv"))
    monkeypatch.setenv("CONTIMG_REFERENCE_CATALOGUE", "vlass-new")
    assert json.loads(run("catalogue", "show", "--json"))["name"] == "vlass-new"
    monkeypatch.setenv("CONTIMG_REFERENCE_CATALOGUE", str(tables / "state/catalogues/vlass.catalogue"))
    assert json.loads(run("catalogue", "show", "--json"))["name"] == "vlass"
    monkeypatch.setenv("CONTIMG_REFERENCE_CATALOGUE", "nvss")
    with pytest.raises(Misconfigured, match="nvss"):
        run("catalogue", "show")


@pytest.mark.parametrize("name", ["../escape", "a/b", ".hidden", "a b"])
def test_names_stay_inside_the_directory(run, tables, name):
    with pytest.raises(BadInput):
        run("catalogue", "build", name, str(tables / "vlass.csv"), "--preset", "vlass")
    assert not list(tables.rglob("*.catalogue"))


def test_check_fails_on_fluxes_that_do_not_fit(run, tables):
    rows = "".join(f"S{i},{10 + i % 10 / 10},{30 + i // 10 / 10},{5 + i},\n" for i in range(100))
    (tables / "jy.csv").write_text("Name,RA,DEC,flux,\n" + rows)
    words = (
        "jy", str(tables / "jy.csv"), "--columns", "source_id=Name,ra=RA,dec=DEC,flux=flux", "--frequency-mhz", "1400",
        "--beam-arcsec", "45",
    )  # fmt: skip
    with pytest.raises(BadInput, match="source counts"):
        run("catalogue", "build", *words, "--flux-unit", "Jy")
    run("catalogue", "build", *words, "--flux-unit", "mJy")
    assert "no fault" in run("catalogue", "check", "jy")
