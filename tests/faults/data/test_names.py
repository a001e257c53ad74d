"""Names that become a part of a path: none leads elsewhere, and nothing that exists is replaced unasked."""

import hashlib
import io
import json
import tarfile

import pytest
from click.testing import CliRunner
from small_caltables import FREQS_HZ, NAMES, random_gains, write_bandpass, write_caltable

from contimg.cli import contimg
from contimg.common.errors import BadInput
from contimg.common.files.names import MAX_LENGTH, check_name
from contimg.common.files.staging import staged
from contimg.settings import Settings, load, save
from contimg.store import Store
from contimg.store.backup.archive import unpack
from web import create_app
from workers.execution.stages import StageContext

GROUP = "2026-02-22T23:17:51"
UNUSABLE = [
    "", ".", "..", "../G.ms", "/etc", "a/b", "a\\b", ".hidden", "-option", "a b", "a\n", "a\0", "a'b", 'a"b', "a[1]",
    "a*", "G.ms.writing-1", "a" * (MAX_LENGTH + 1), "nächtlich",
]  # fmt: skip
USABLE = ["night", GROUP, "0834+555", "a..b", "n_1.B-2", "1"]
TOKEN = "correct horse battery staple"


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_names_are_refused(name):
    with pytest.raises(BadInput, match="caltable set"):
        check_name(name, "caltable set")


@pytest.mark.parametrize("name", USABLE)
def test_usable_names_pass(name):
    assert check_name(name, "caltable set") == name


@pytest.fixture
def deployment(tmp_path, monkeypatch):
    """An output directory with a solved set, its log, a Measurement Set and a bandpass from elsewhere."""
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("CONTIMG_OUTPUT_DIR", str(tmp_path / "out"))
    solved = tmp_path / "out" / "calibration" / GROUP
    solved.mkdir(parents=True)
    (solved / "casa.log").write_text("solved")
    (solved.parent / "flags").mkdir()
    (tmp_path / "out" / f"{GROUP}.ms").mkdir()
    write_bandpass(tmp_path / "out" / "night.B")
    return tmp_path / "out"


def contents(directory):
    return {
        path: path.stat().st_ino for path in directory.rglob("*") if "night.B" not in path.parts and path.is_file()
    } | {path: 0 for path in directory.rglob("*") if path.is_dir()}


def run(*words):
    result = CliRunner().invoke(contimg, ["calibrations", "import", *map(str, words)], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.output


@pytest.mark.parametrize("name", [name for name in UNUSABLE if name and "\0" not in name] + [GROUP, "flags"])
def test_import_refuses_name(deployment, name):
    before = contents(deployment)
    for replace in ([], ["--replace"]):
        with pytest.raises(BadInput):
            run(deployment / "night.B", f"--name={name}", *replace)
    assert contents(deployment) == before


def test_import_keeps_names_of_groups_for_their_tiles(deployment):
    with pytest.raises(BadInput, match="2026-02-23T00:00:00"):
        run(deployment / "night.B", "--name=2026-02-23T00:00:00")
    assert "2026-02-23T00:00:00" in run(deployment / "night.B", "--name=2026-02-23T00:00:00", "--replace")


def test_import_replaces_only_when_asked(deployment):
    run(deployment / "night.B")
    description = deployment / "calibration" / "night" / "set.json"
    first = description.stat().st_ino
    with pytest.raises(BadInput, match=r"night.*--replace"):
        run(deployment / "night.B", "--calibrator", "3C147")
    assert description.stat().st_ino == first
    assert json.loads(description.read_text())["calibrator"] == "3C48"
    assert "3C147" in run(deployment / "night.B", "--calibrator", "3C147", "--replace")
    assert json.loads(description.read_text())["calibrator"] == "3C147"


def test_import_refuses_name_in_registry(deployment, tmp_path):
    run(deployment / "night.B")
    (deployment / "calibration" / "night").rename(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match=r"night.*--replace"):
        run(deployment / "night.B")
    assert "night" in run(deployment / "night.B", "--replace")


@pytest.fixture
def panel(deployment, tmp_path):
    """A panel of that output directory, and its store."""
    settings = Settings(state_dir=tmp_path / "state", token=TOKEN)
    save(settings, {"output_dir": str(deployment)})
    store = Store.of(load(settings))
    yield create_app(settings, store, fresh_s=0.0).test_client(), store
    store.close()


def post(client, tables, name, **fields):
    order = {"tables": [str(table) for table in tables], "name": name, **fields}
    return client.post("/api/calibrations/import", json=order, headers={"Authorization": f"Bearer {TOKEN}"})


@pytest.mark.long
def test_panel_refuses_names(deployment, panel):
    client, store = panel
    tables, before = [deployment / "night.B"], contents(deployment)
    for name in ("../G.ms", ".", "a b", "-x"):
        assert post(client, tables, name).status_code == 400, name
        assert post(client, tables, name, replace=True).status_code == 400, name
    for replace in (False, True):
        assert post(client, tables, GROUP, replace=replace).status_code == 409
    assert contents(deployment) == before
    assert store.registry.sets() == ()
    assert post(client, tables, "night").status_code == 200
    assert post(client, tables, "night").status_code == 409
    assert post(client, tables, "night", replace=True).status_code == 200
    assert [caltable_set.name for caltable_set in store.registry.sets()] == ["night"]


def test_panel_names_antennas_without_solution(deployment, panel):
    client, store = panel
    gains = random_gains(1, len(NAMES) - 1)
    write_caltable(deployment / "night.G", "G Jones", [(FREQS_HZ, gains)], names=NAMES[:-1])
    assert post(client, [deployment / "night.B", deployment / "night.G"], "few").status_code == 200
    assert store.registry.set_named("few").grade == "good"
    assert f"few.gcal: no solution for {NAMES[-1]}" in client.get("/calibration").text


@pytest.mark.parametrize(
    "name", ["state/../x", "state//etc/x", "state/a/b", "state/.session.key", "../x", "other", "state/"]
)
def test_archive_member_refused(tmp_path, name):
    data = b"content"
    manifest = {
        "version": "1", "revision": "0001", "taken_at": 0.0, "rows": {},
        "sha256": {name: hashlib.sha256(data).hexdigest()}, "format": 1,
    }  # fmt: skip
    with tarfile.open(tmp_path / "backup", "w:gz") as archive:
        for member, content in (("manifest.json", json.dumps(manifest).encode()), (name, data)):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    (tmp_path / "into").mkdir()
    with pytest.raises(BadInput, match="backup"):
        unpack(tmp_path / "backup", tmp_path / "into")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name not in ("backup", "manifest.json")]


@pytest.mark.parametrize("name", ["..", "a/b", ""])
def test_names_of_campaigns_and_groups_stay_below_output_dir(tmp_path, name):
    settings = Settings(state_dir=tmp_path / "state")
    context = StageContext(load(settings), None)
    with pytest.raises(BadInput):
        context.product_dir(name)
    with pytest.raises(BadInput):
        context.measurement_set_path(name)


def test_staged_refuses_target_that_appears_meanwhile(tmp_path):
    target = tmp_path / "set"

    def write():
        with staged(target, replaces=False) as temporary:
            temporary.mkdir()
            target.mkdir()
            (target / "other").touch()

    with pytest.raises(BadInput, match="set"):
        write()
    assert [path.name for path in tmp_path.rglob("*")] == ["set", "other"]
