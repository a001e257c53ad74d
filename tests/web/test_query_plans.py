"""Every question that the pages ask of a store is answered by an index: each statement is read again with EXPLAIN.

A table that grows for years may be walked only along an index in the requested order, and then no further than a
limit.
"""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from observing_night import Night, whole_night
from postgres_server import PostgresServer
from sqlalchemy import Connection, event, text

from contimg.settings import Settings, load, save
from contimg.store import Store
from web import create_app
from web.activity.history import CHARTS, check_scan
from web.context import EXTENSION

GROWING = ("jobs", "groups", "subband_files", "stage_runs", "ms_index", "images", "events", "metrics", "calibrations",
           "alerts", "antenna_history", "antenna_outages", "metric_hours", "mosaics", "mosaic_inputs",
           "measurements")  # fmt: skip
Statements = dict[str, Any]


def paths(store: Store) -> list[str]:
    """Every page, and every list of the API, as they are and turned to a later page."""
    group, image = store.files.groups()[-1], store.products.images(1)[0]
    key, now = f"{group.reference_s!r}~{group.id}", time.time()
    states = [
        f"/groups?state={state}&order={order}" for state in ("failed", "completed") for order in ("observed", "updated")
    ]
    return [
        "/", "/groups", f"/groups?after={key}", f"/groups?after={key}&ascending=true", "/groups?order=updated",
        "/groups?partial=true", f"/groups?observed={group.id[:10]}", f"/groups?state=failed&observed={group.id[:7]}",
        *states, f"/groups/{group.id}", f"/api/groups/{group.id}", "/images", "/images?verdict=good",
        "/images?night=2026-02-22&grade=bad",
        "/sky?night=2026-02-22", f"/api/history/alerts?since={now - 7.8e6}&until={now}",
        f"/images?before={image.mjd}~{image.id}", f"/images?verdict=good&before={image.mjd}~{image.id}",
        f"/images/{image.id}", f"/api/images?before_mjd={image.mjd}", "/sky", "/sky?days=365", "/calibration",
        "/history",
        *(f"/api/history/{chart.name}?since={now - 7.8e6}&until={now}" for chart in CHARTS), "/logs", "/alerts",
        "/alerts?before=99", "/events", "/events?before=99", "/events?level=warning&before=99",
        f"/events?group={group.id}", "/configuration", "/api/status", "/api/queue", "/api/queue?state=failed",
        "/api/calibrations", "/api/groups?state=failed&since=2026-01-01", "/api/groups?incomplete=true",
        "/api/images?grade=good&since=2026-01-01&calibrated=true", "/api/events/list", "/api/alerts",
        "/api/streaming/metrics", "/api/streaming/health", "/metrics", "/healthz", "/epochs", "/api/epochs",
        "/api/mosaics", "/antennas", "/antennas?days=90", "/api/antennas", "/sources", "/api/store",
    ]  # fmt: skip


def read_statements(app: Flask, store: Store) -> Statements:
    """The statements that the pages read with, and the values they were sent with."""
    statements: Statements = {}

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            statements.setdefault(statement, parameters)

    client: FlaskClient = app.test_client()
    addresses = paths(store)
    event.listen(store.database.engine, "before_cursor_execute", note)
    for path in addresses:
        assert client.get(path).status_code == 200, path
    check_scan(app.extensions[EXTENSION])
    event.remove(store.database.engine, "before_cursor_execute", note)
    return statements


@pytest.fixture
def statements(app: Flask, store: Store, full_night: Night) -> Statements:
    full_night.store.alerts.update("stall", "nothing moves")
    return read_statements(app, store)


def test_sqlite_plans_use_indexes(statements: Statements, store: Store) -> None:
    assert len(statements) > 60
    tables_read = {table for table in GROWING if any(f"FROM {table}" in statement for statement in statements)}
    assert tables_read == set(GROWING) - {"measurements"}
    walks = {}
    with store.database.engine.connect() as connection:
        for statement, parameters in statements.items():
            plan = plan_of(connection, statement, parameters)
            if any(walked_by_sqlite(connection, step, plan, statement) for step in plan):
                walks[statement] = plan
    assert walks == {}


def plan_of(connection: Connection, statement: str, parameters: Any = ()) -> list[str]:
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    return [str(row[-1]) for row in rows]


def walked_by_sqlite(connection: Connection, step: str, plan: list[str], statement: str) -> bool:
    """Whether a step reads a whole table: a scan that is neither in the requested order nor limited.

    The total of a list is counted along an index that holds all that is counted.

    Sorting the last term of an order sorts only rows that are alike in the first. A greatest value is called a search,
    but it is one only in an index that begins with its column.
    """
    named = re.match(rf"(SCAN|SEARCH) ({'|'.join(GROWING)})\b(.*)", step)
    if named is None:
        return False
    if named[1] == "SEARCH":
        index = re.search(r"INDEX (\w+)$", named[3])
        first = connection.exec_driver_sql(f"PRAGMA index_info({index[1]})").all()[0][2] if index else ""
        return "(" not in named[3] and not re.search(rf"\b(max|min)\((\w+\.)?{first or '!'}\)", statement)
    if "count(" in statement and "USING COVERING INDEX" in named[3]:
        return False
    sorted_whole = any("TEMP B-TREE FOR ORDER BY" in step for step in plan)
    return not ("ORDER BY" in statement and "LIMIT" in statement and not sorted_whole)


def test_plan_check_detects_table_scan(store: Store) -> None:
    """What it would miss proves nothing: each of these reads a whole table."""
    for statement in (
        "SELECT count(*) FROM jobs WHERE error IS NOT NULL",
        "SELECT * FROM events ORDER BY text LIMIT 5",
        "SELECT max(at) FROM metrics",
        "SELECT * FROM images WHERE rms_jy > 1 ORDER BY peak_jy DESC LIMIT 3",
    ):
        with store.database.engine.connect() as connection:
            plan = plan_of(connection, statement)
            assert any(walked_by_sqlite(connection, step, plan, statement) for step in plan), statement


@pytest.mark.long
def test_postgresql_plans_use_indexes(postgres: PostgresServer, tmp_path: Path) -> None:
    """With walks forbidden the planner still takes one where nothing else leads to the rows."""
    database = postgres.new_database()
    settings = Settings(state_dir=tmp_path / "state")
    save(settings, {"queue_db": database})
    config = load(settings)
    night = Night(database, config.input_dir, config.output_dir, time.time())
    whole_night(night, time.time())
    store = Store.of(config)
    statements = read_statements(create_app(settings, store, fresh_s=0.0), store)
    walks = {}
    with store.database.engine.connect() as connection:
        connection.execute(text("SET enable_seqscan = off"))
        for statement, parameters in statements.items():
            plan = "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters))
            if re.search(rf"Seq Scan on ({'|'.join(GROWING)})\b", plan):
                walks[statement] = plan
    night.store.close()
    store.close()
    assert walks == {}
