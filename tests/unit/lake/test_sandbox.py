"""Queries of tenants: what they see, what they cannot reach, and how they end."""

import asyncio
import contextlib
import datetime
import importlib.util
import json
import os
import resource
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from clients.lake import queries as queries_module
from clients.lake.location import LakeLocation, resolve_location
from clients.lake.queries import LakeQueries, QueryLimits
from shared.domain.errors import DeadlineExceeded, InvalidParams, NotOffered, Unavailable
from shared.lake.layout import state_path
from shared.lake.sandbox import QueryRefusal, open_connection, run_query
from shared.lake.states import derive_lines, make_rows, write_state
from shared.lake.tables import PURCHASE_LINES, PURCHASES, list_tables
from tests.support.sql_attempts import BOMBS, REFUSED, SHOWN, read_queries

_MAX_MEMORY_KIB = 1.6 * 2**20
# All of them take a minute: `make chaos` runs them.
_BOMBS = read_queries(BOMBS) if os.environ.get("SQL_BOMBS") == "all" else read_queries(BOMBS)[2:8:2]


def write_purchases(root: Path, tenant: str, day: str, *totals: str, user: str = "ana") -> None:
    """Writes a day of purchases, each of a line of two copies of one book."""
    rows = [
        {
            "purchase_id": f"{tenant}-{day}-{number}",
            "user_id": user,
            "status": "completed",
            "total_amount": Decimal(total),
            "currency": "EUR",
            "created_at": datetime.datetime.fromisoformat(f"{day}T10:00:00"),
            "version": 1,
            "items": [
                {"book_id": "b1", "title": "Ficciones", "category": "C", "quantity": 2, "subtotal": Decimal(total)}
            ],
        }
        for number, total in enumerate(totals)
    ]
    purchases = make_rows(PURCHASES, rows)
    for table, content in ((PURCHASES, purchases), (PURCHASE_LINES, derive_lines(purchases))):
        path = root / state_path(tenant, table, day)
        path.parent.mkdir(parents=True)
        path.write_bytes(write_state(content, table))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of two tenants."""
    folder = tmp_path_factory.mktemp("lake")
    write_purchases(folder, "main", "2026-11-26", "10.10", "20.20")
    write_purchases(folder, "main", "2026-11-27", "0.01")
    write_purchases(folder, "other", "2026-11-27", "999.99", user="a secret of other")
    return folder


def make_request(root: Path, sql: str = "", tenant: str = "main") -> dict[str, Any]:
    limits = {"seconds": 10, "memory_mib": 1500, "max_rows": 1000, "max_bytes": 1_000_000}
    return {"root": str(root), "bucket": None, "tenant": tenant, "sql": sql, **limits}


@pytest.fixture(scope="module")
def connection(root: Path) -> Iterator[Any]:
    """What the process of a query has, without the limits of the process."""
    opened = open_connection(duckdb, make_request(root))
    yield opened
    opened.close()


def ask(connection: Any, root: Path, sql: str) -> dict[str, Any]:
    return run_query(duckdb, connection, make_request(root, sql))


def test_a_tenant_sees_its_own_rows_alone(connection: Any, root: Path) -> None:
    sql = "SELECT year, month, day, COUNT(*), SUM(total_amount) FROM purchases GROUP BY ALL ORDER BY day"
    assert ask(connection, root, sql)["rows"] == [
        ["2026", "11", "26", 2, {"decimal": "30.30"}],
        ["2026", "11", "27", 1, {"decimal": "0.01"}],
    ]
    lines = "SELECT book_id, SUM(quantity), SUM(subtotal) FROM purchase_lines WHERE day = '26' GROUP BY book_id"
    assert ask(connection, root, lines)["rows"] == [["b1", 4, {"decimal": "30.30"}]]


def test_every_table_is_there_also_without_files(connection: Any, root: Path) -> None:
    for table in list_tables("main"):
        assert ask(connection, root, f"SELECT * FROM {table.name} LIMIT 0")["rows"] == []
        named = [column["name"] for column in ask(connection, root, f"SELECT * FROM {table.name} LIMIT 0")["columns"]]
        assert named == table.list_columns()
    assert len(list_tables("other")) < len(list_tables("main"))


@pytest.mark.parametrize("attempt", read_queries(REFUSED))
def test_nothing_else_can_be_read_or_written(connection: Any, root: Path, attempt: str) -> None:
    with pytest.raises((duckdb.Error, QueryRefusal)):
        ask(connection, root, attempt.replace("{root}", str(root)))


def test_what_the_database_says_of_itself_names_no_path_of_the_lake(connection: Any, root: Path) -> None:
    for query in read_queries(SHOWN):
        try:
            shown = json.dumps(ask(connection, root, query))
        except duckdb.Error as error:
            shown = str(error)
        assert str(root) not in shown
        assert "a secret of other" not in shown


def test_results_are_bounded(connection: Any, root: Path) -> None:
    request = make_request(root, "SELECT range FROM range(5000)")
    many = run_query(duckdb, connection, request)
    assert (len(many["rows"]), many["truncated"]) == (1000, True)
    wide = run_query(duckdb, connection, {**request, "sql": "SELECT repeat('x', 60000) FROM range(500)"})
    assert len(json.dumps(wide)) < 2_000_000
    assert wide["truncated"]
    (row,) = run_query(duckdb, connection, {**request, "sql": "SELECT repeat('x', 9000000)"})["rows"]
    assert len(row[0]) == 65_536


def test_every_type_has_a_form_in_json(connection: Any, root: Path) -> None:
    sql = """SELECT NULL, true, 1::UTINYINT, 170141183460469231731687303715884105727::HUGEINT, 'inf'::DOUBLE,
        DATE '2026-11-27', TIMESTAMP '2026-11-27 10:00:00', TIME '10:00:00', INTERVAL 1 DAY, [1, NULL], {'a': 1.5},
        MAP {'k': 'v'}, 'x'::BLOB, '101'::BIT, uuid() IS NULL, 'ñ😀'"""
    (row,) = json.loads(json.dumps(ask(connection, root, sql)))["rows"]
    assert row[:3] == [None, True, 1]
    assert row[-1] == "ñ😀"


async def test_a_query_has_a_process_and_decimal_numbers_stay_exact(root: Path) -> None:
    lake = LakeQueries(LakeLocation(str(root)), spares=1)
    try:
        found = await lake.run("main", "SELECT SUM(total_amount) AS total FROM purchases")
        assert found.rows == [[Decimal("30.31")]]
        assert (found.columns[0].name, found.truncated) == ("total", False)
        with pytest.raises(InvalidParams, match="one SELECT"):
            await lake.run("main", "SELECT 1; SELECT 2")
        # The one in reserve, after a query that ended badly.
        assert (await lake.run("none", "SELECT COUNT(*) FROM purchases")).rows == [[0]]
    finally:
        await lake.close()


async def test_what_a_library_prints_is_no_part_of_the_answer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = queries_module._PROGRAM
    noisy = (
        "import shared.lake.sandbox as s; a = s.run_query; s.run_query = lambda *x: print('100%', flush=True) or a(*x)"
    )
    monkeypatch.setattr(
        queries_module,
        "_PROGRAM",
        (program[0].replace("from shared.lake.sandbox import main", f"{noisy}; main = s.main"), program[1]),
    )
    lake = LakeQueries(LakeLocation(str(root)))
    assert (await lake.run("main", "SELECT 1")).rows == [[1]]
    await lake.close()


async def test_queries_that_eat_memory_or_time_end_and_the_next_one_works(root: Path) -> None:
    lake = LakeQueries(LakeLocation(str(root)), QueryLimits(seconds=1.5), at_once=len(_BOMBS) or 1)
    places = asyncio.Semaphore(3)

    async def run(tenant: str, sql: str) -> None:
        async with places:
            with contextlib.suppress(InvalidParams, DeadlineExceeded):
                await lake.run(tenant, sql)

    try:
        await asyncio.gather(*(run(f"t{number}", sql) for number, sql in enumerate(_BOMBS)))
        assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < _MAX_MEMORY_KIB
        assert (await lake.run("main", "SELECT COUNT(*) FROM purchases")).rows == [[3]]
    finally:
        await lake.close()


async def test_one_query_of_a_tenant_runs_at_a_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, release = asyncio.Event(), asyncio.Event()
    lake = LakeQueries(LakeLocation(str(root)), at_once=1)

    async def wait(*_: Any) -> Any:
        asked.set()
        await release.wait()
        return queries_module._Answer()

    monkeypatch.setattr(lake, "_ask", wait)
    running = asyncio.create_task(lake.run("main", "SELECT 1"))
    await asked.wait()
    with pytest.raises(Unavailable, match="of this tenant"):
        await lake.run("main", "SELECT 1")
    with pytest.raises(Unavailable, match="1 queries"):
        await lake.run("other", "SELECT 1")
    release.set()
    await running
    await lake.run("main", "SELECT 1")


async def test_without_its_packages_the_lake_says_what_to_install(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(NotOffered, match="duckdb") as refused:
        await LakeQueries(LakeLocation(str(root))).run("main", "SELECT 1")
    assert "comanda[lake]" in (refused.value.hint or "")


@pytest.mark.parametrize("tenant", ["..", ".", "a/b", "A", "x" * 41, ""])
async def test_no_path_is_made_of_what_is_no_tenant(root: Path, tenant: str) -> None:
    with pytest.raises(InvalidParams):
        await LakeQueries(LakeLocation(str(root))).run(tenant, "SELECT 1")


def test_a_bucket_is_reached_with_the_credentials_of_the_environment() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    place = resolve_location("s3://b/x/y", "data", region="r", endpoint="http://h:1", environ=environ)

    assert (place.bucket_name, place.prefix) == ("b", "x/y/")
    assert place.bucket == {
        "access_key": "a",
        "secret_key": "b",
        "region": "r",
        "endpoint_override": "h:1",
        "scheme": "http",
    }
