"""Test the table of all benchmarks: each stage is listed with each of its measured peers."""

import re

from all_figures import rows, table

HOST = {"machine": {"processor": "any", "cores": 2, "memory_gib": 24.0}, "began": "2026-02-22T23:17:51Z"}
CONVERT = {"contimg": {"seconds": 2.0, "peak_gib": 0.25}, "pyuvdata": {"seconds": 50.0}}


def test_each_peer_that_was_measured_has_a_row():
    table_rows = rows({**HOST, "convert": CONVERT, "calibrate": {"flag": {"seconds": 8.0}}, "image": None})
    assert [(row.what, row.peer, row.peer_s) for row in table_rows] == [
        ("contimg", "pyuvdata", 50.0),
        ("flag", None, None),
    ]


def test_the_table_has_the_ratio_to_the_peer():
    tile = {"kind": "target", "latency_s": 21.0, "core_s": 31.0, "convert": 3.6, "calibrate": 9.2, "image": 7.7}
    stream = {
        "tiles": [tile],
        "together": 12,
        "together_s": 240.0,
        "factor": 15.45,
        "gib": {"process": 2.4, "all": 4.4},
    }
    text = table({**HOST, "convert": CONVERT, "stream": stream, "overhead": {"core_ms": 41.0}})
    assert "| convert | contimg | 2.00 | 0.25 | pyuvdata | 50.0 | 25.0 |" in text
    assert "| target | 21.0 | 31.0 | 3.6 | 9.2 | 7.7 |" in text
    assert re.search(r"\b12 tiles\b.*\b240 s\b.*\b15\.4\b", text)
    assert re.search(r"\bcore_ms\b.*\b41\b", text)
