"""Other people's readers open the Measurement Set and see what casacore sees: dask-ms, arcae, xarray-ms, AOFlagger.

They live in an environment of their own (scripts/setup_readers.sh), named by CONTIMG_READERS or found as .venv-readers.
"""

import json
import os
import subprocess
from pathlib import Path

import h5py
import pytest
from casacore.tables import table
from judges import READERS

from contimg.tile.convert import convert

SEEN = """
import json, sys
import numpy as np
def say(data, uvw, time, **more):
    data = np.asarray(data)
    total = [float(np.nansum(part, dtype=float)) for part in (data.real, data.imag)]
    length = float(np.nansum(np.asarray(uvw) ** 2))
    print(json.dumps(dict(shape=data.shape, sum=total, uvw=length, start=float(np.min(time)), **more)))
"""
DASK_MS = """
from daskms import xds_from_ms, xds_from_table
main = xds_from_ms(sys.argv[1])[0]
window = xds_from_table(sys.argv[1] + "::SPECTRAL_WINDOW")[0]
say(main.DATA.values, main.UVW.values, main.TIME.values, channels=window.CHAN_FREQ.shape[-1],
    width=float(window.CHAN_WIDTH.values.max()))
"""
ARCAE = """
import arcae
with arcae.table(sys.argv[1]) as main, arcae.table(sys.argv[1] + "::SPECTRAL_WINDOW") as window:
    say(main.getcol("DATA"), main.getcol("UVW"), main.getcol("TIME"), channels=window.getcol("CHAN_FREQ").shape[-1],
        width=float(window.getcol("CHAN_WIDTH").max()))
"""
XARRAY_MS = """
import warnings; warnings.simplefilter("ignore")
import xarray
tree = xarray.open_datatree(sys.argv[1], engine="xarray-ms:msv2", auto_corrs=True)
(name,) = [one for one in tree.children]
part = tree[name].ds
say(part.VISIBILITY.values, part.UVW.values, part.time.values, channels=part.sizes["frequency"],
    width=float(part.frequency.attrs["channel_width"]["data"]), polarizations=part.polarization.values.tolist(),
    antennas=tree[name]["antenna_xds"].sizes["antenna_name"])
"""


def read_by(script: str, ms: Path, where: Path) -> dict:
    environment = {name: value for name, value in os.environ.items() if name != "READERSPATH"}
    done = subprocess.run(
        [str(READERS), "-c", SEEN + script, str(ms)], cwd=where, env=environment, capture_output=True, text=True,
        check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.judge("readers")
@pytest.mark.parametrize("script", [DASK_MS, ARCAE, XARRAY_MS], ids=["dask-ms", "arcae", "xarray-ms"])
def test_readers_agree_with_casacore(script, drift_sim_ms, tmp_path):
    summary = read_by(script, drift_sim_ms.path, tmp_path)
    with table(str(drift_sim_ms.path), ack=False) as main:
        data, uvw, time = (main.getcol(name) for name in ("DATA", "UVW", "TIME"))
    assert summary["sum"] == pytest.approx([data.real.sum(dtype=float), data.imag.sum(dtype=float)], rel=1e-6)
    assert summary["uvw"] == pytest.approx((uvw**2).sum(), rel=1e-9)
    assert (summary["channels"], summary["width"]) == (768, pytest.approx(244140.625))
    if script is XARRAY_MS:  # a grid of all the slots' baselines, NaN where there are none; times of the Unix epoch
        assert summary["shape"] == [6, 117 * 118 // 2, 768, 2]
        assert summary["start"] == pytest.approx(time.min() - 40587 * 86400, abs=1e-5)
        assert (summary["polarizations"], summary["antennas"]) == (["XX", "YY"], 117)
    else:
        assert summary["shape"] == list(data.shape)
        assert summary["start"] == pytest.approx(time.min(), abs=1e-6)


@pytest.mark.judge("aoflagger")
def test_aoflagger_flags_interference(copies, tmp_path):
    with h5py.File(copies[5], "r+") as file:
        file["Data/visdata"][:, 0, 20, :] = 1e5
    converted = convert(copies, tmp_path / "rfi.ms")
    subprocess.run(
        ["aoflagger", "-j", "2", "-column", "DATA", str(converted.path)],
        cwd=tmp_path, check=True, timeout=200, capture_output=True,
    )  # fmt: skip
    with table(str(converted.path), ack=False) as main:
        cross = main.getcol("ANTENNA1") != main.getcol("ANTENNA2")
        flags, original = main.getcol("FLAG")[cross], main.getcol("FLAG_ORIGINAL")
    damaged = (16 - 5) * 48 - 1 - 20
    assert flags[:, damaged].all()
    assert flags.mean() < 0.95  # six integrations without noise are a strange sky to it
    assert not original.any()
