"""The searching processes: masks as AOFlagger's in this process, Transient when one dies, none left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from casacore.tables import table
from small_ms import make_ms

from contimg.common.errors import Transient
from contimg.formats.ms.info import read_ms_info
from contimg.tile.flag.interference import start_searchers
from contimg.tile.flag.run import flag
from contimg.tile.flag.searcher import Search


def request(baselines, rng):
    amplitude = rng.rayleigh(size=(baselines, 8, 192)).astype(np.float32)
    amplitude[:, :, 40:42] += 30
    return amplitude, rng.uniform(size=amplitude.shape) < 0.02


def searching():
    return [child for child in psutil.Process().children() if "contimg.tile.flag.searcher" in child.cmdline()]


@pytest.mark.parametrize(("processes", "baselines"), [(1, 5), (2, 5), (3, 2)])
def test_masks_match_aoflagger(processes, baselines):
    rng = np.random.default_rng(1)
    search = Search(8, 192)
    with start_searchers(processes) as submit:
        requests = [request(baselines, rng), request(baselines, rng)]
        answers = [submit(*arguments) for arguments in requests]
        for (amplitude, missing), answer in zip(requests, answers, strict=True):
            masks = answer()
            assert masks[:, :, 40:42].all()
            assert np.array_equal(masks, [search.run(*baseline) for baseline in zip(amplitude, missing, strict=True)])
    assert searching() == []


def test_dead_searcher_is_transient():
    with start_searchers(2) as submit:
        searching()[0].kill()
        with pytest.raises(Transient, match=r"-9\b"):
            submit(*request(200, np.random.default_rng(1)))()
    assert searching() == []


def test_flags_do_not_depend_on_number_of_processes(tmp_path):
    results = []
    for processes in (1, 3):
        path = make_ms(tmp_path / f"{processes}.ms", noise=2.0, sources=[]).path
        with table(str(path), readonly=False, ack=False) as main:
            data = main.getcol("DATA")
            data[::3, 30:33] += 40
            main.putcol("DATA", data)
        done = flag(read_ms_info(path), processes=processes)
        with table(str(path), ack=False) as main:
            results.append((done.interference, main.getcol("FLAG")))
    assert results[0][0] == results[1][0] > 0.003
    assert np.array_equal(results[0][1], results[1][1])


def flag_here(path, fractions):
    fractions.put(flag(read_ms_info(path)).fraction)


def test_flag_in_daemon_process(tmp_path):
    """A Celery worker's child is a daemon and may have no children by multiprocessing."""
    path = make_ms(tmp_path / "tile.ms", sources=[]).path
    spawn = multiprocessing.get_context("spawn")
    fractions = spawn.Queue()
    child = spawn.Process(target=flag_here, args=(path, fractions), daemon=True)
    child.start()
    assert 0 <= fractions.get(timeout=60) < 0.05
    child.join()


def test_searchers_end_with_parent():
    script = (
        "import time; from contimg.tile.flag.interference import start_searchers\n"
        "with start_searchers(2): time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    children = []
    for _ in range(600):
        children = psutil.Process(parent.pid).children()
        if len(children) == 2:
            break
        time.sleep(0.05)
    assert len(children) == 2
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert not psutil.wait_procs(children, timeout=10)[1]


def test_strategies_agree_without_missing_samples(monkeypatch):
    rng = np.random.default_rng(5)
    quick, thorough = Search(24, 192), Search(24, 192)
    monkeypatch.setattr(thorough, "_whole", thorough._with_gaps)
    for strength in (0.5, 1, 2, 5, 100):
        amplitude = rng.rayleigh(size=(24, 192)).astype(np.float32)
        amplitude[:, 40:43] += strength
        amplitude[5:7] += strength
        amplitude[15:18, 100:130] += strength
        nothing = np.zeros(amplitude.shape, dtype=np.bool_)
        mask = quick.run(amplitude, nothing)
        assert np.array_equal(mask, thorough.run(amplitude, nothing))
        assert strength < 100 or mask[:, 41].all()
