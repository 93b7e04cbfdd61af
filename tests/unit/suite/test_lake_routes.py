"""The routes and commands of the lake, and how its state is shown."""

from pathlib import Path
from typing import Any

import pytest

from clients.accounts.tenants import add_tenant
from clients.lake.queries import LakeQueries, QueryResult, ResultColumn
from clients.lake.requests import LakeHeartbeat, list_requests, send_heartbeat
from clients.persistence import PersistenceClient
from shared.domain.errors import InvalidParams
from tests.support.in_process import Suite
from tests.support.in_process_cli import InProcessCli
from tests.support.in_process_http import InProcessHttp
from tests.support.members import add_member

SQL = "/api/v1/analytics/sql"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The queries that were asked, of which each has the same answer."""
    found: list[tuple[str, str]] = []

    async def run(_: LakeQueries, tenant: str, sql: str) -> QueryResult:
        found.append((tenant, sql))
        if "wrong" in sql:
            raise InvalidParams("there is no table wrong", field="sql")
        return QueryResult(
            [ResultColumn("a", "VARCHAR"), ResultColumn("a", "BIGINT")], [["=x", 1], [None, 2]], False, 0.1
        )

    monkeypatch.setattr(LakeQueries, "run", run)
    return found


async def test_an_administrator_asks_in_json_and_gets_json_or_csv(suite: Suite, asked: list[Any]) -> None:
    await suite.start_persistence()
    http = InProcessHttp(await suite.start_gateway(lake="on"))

    reply = await http.ask("POST", SQL, {"sql": "SELECT 1"})
    assert reply.json["rows"] == [["=x", 1], [None, 2]]
    assert reply.json["columns"][0] == {"name": "a", "type": "VARCHAR"}
    sheet = await http.ask("POST", f"{SQL}?format=csv", {"sql": "SELECT 1"})
    # A spreadsheet does not take the cell for a formula.
    assert sheet.body == b"a,a\r\n'=x,1\r\n,2\r\n"
    assert asked == [("main", "SELECT 1")] * 2
    refused = await http.ask("POST", SQL, {"sql": "SELECT * FROM wrong"})
    assert (refused.status, refused.problem["field"]) == (422, "sql")
    for body in ({"sql": ""}, {"sql": "x" * 20_001}, {}, {"sql": 1}):
        assert (await http.ask("POST", SQL, body)).status == 422


async def test_an_administrator_of_a_tenant_asks_the_tables_of_that_tenant(suite: Suite, asked: list[Any]) -> None:
    await suite.start_persistence()
    http = InProcessHttp(await suite.start_gateway(lake="on", stage="test"))
    async with suite.persistence() as records:
        await add_tenant(records, "books", {"name": "Books"})
        admin, staff = await add_member(records, "books", "admin"), await add_member(records, "books", "staff")

    reply = await http.ask("POST", SQL, {"sql": "SELECT 1"}, headers=admin.token)
    assert (reply.status, asked) == (200, [("books", "SELECT 1")])
    assert (await http.ask("POST", SQL, {"sql": "SELECT 1"}, headers=staff.token)).status == 403
    assert (await http.ask("POST", SQL, {"sql": "SELECT 1"}, headers={"X-Tenant-Id": "books"})).status == 401
    tables = (await http.ask("GET", "/api/v1/analytics/tables", headers=admin.token)).json["tables"]
    assert "orders" not in {table["name"] for table in tables}


async def test_without_a_lake_the_answer_says_so(suite: Suite) -> None:
    await suite.start_persistence()
    http = InProcessHttp(await suite.start_gateway())

    for reply in (await http.ask("POST", SQL, {"sql": "SELECT 1"}), await http.ask("GET", "/api/v1/analytics/tables")):
        assert (reply.status, reply.problem["error"]) == (501, "unavailable")


async def test_tables_readiness_and_metrics_show_how_far_the_lake_is_behind(suite: Suite, cli: InProcessCli) -> None:
    await suite.start_persistence()
    await suite.start_intake()
    http = InProcessHttp(await suite.start_gateway(lake="on"))
    assert (await http.ask("GET", "/ready")).json["dependencies"]["lake"]["status"] == "away"
    assert (await cli.run("lake", "status"))[0] == 1
    async with suite.persistence() as records:
        await send_heartbeat(records, LakeHeartbeat(40.0, 7, 2, "no space left on device"))

    lake = (await http.ask("GET", "/ready")).json["dependencies"]["lake"]
    assert (lake["status"], lake["reason"]) == ("degraded", "no space left on device")
    tables = (await http.ask("GET", "/api/v1/analytics/tables")).json
    assert tables["state"] == {"status": "degraded", "behind_s": 40.0}
    assert {"purchases", "purchase_lines", "orders"} <= {table["name"] for table in tables["tables"]}
    metrics = (await http.ask("GET", "/metrics")).body.decode()
    assert 'comanda_lake_behind_seconds{server="lake"} 40.0' in metrics
    status, (shown,), _ = await cli.run("lake", "status")
    assert (status, shown["behind_s"], shown["trouble"]) == (1, 40, "no space left on device")
    assert (await cli.run("ready", "lake"))[1] == [{"status": "degraded"}]


async def test_commands_print_tables_csv_and_json(
    asked: list[Any], cli: InProcessCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    status, _, errors = await cli.run("sql", "SELECT 1")
    assert (status, "LAKE=on" in errors, asked) == (1, True, [])
    (tmp_path / "lake").mkdir()
    assert await cli.run("sql", "SELECT 1") == (0, [{"a": "=x", "a_2": 1}, {"a": None, "a_2": 2}], "")
    assert (await cli.show("sql", "SELECT 1", "--format", "csv"))[1] == "a,a_2\r\n'=x,1\r\n,2\r\n"
    assert "a_2" in (await cli.show("sql", "SELECT 1", "--format", "table"))[1]
    assert (await cli.run("sql", "-", "--tenant", "books", stdin="SELECT 2"))[0] == 0
    assert asked[-1] == ("books", "SELECT 2")
    assert (await cli.run("sql", "SELECT * FROM wrong"))[0] == 1
    _, statements, _ = await cli.show("lake", "ddl", "s3://b/lake", "--tenant", "my-shop")
    assert "LOCATION 's3://b/lake/my-shop/purchases/'" in statements
    assert "comanda_my_shop.orders" not in statements


async def test_work_is_asked_for_in_records_and_ends_with_the_command(suite: Suite, cli: InProcessCli) -> None:
    await suite.start_persistence()

    status, _, errors = await cli.run("lake", "forget", "eva", "--wait", "0")
    assert status == 1
    assert "once it runs" in errors
    async with suite.persistence() as records:
        (request,) = await list_requests(records)
        assert (request.kind, request.tenant, request.user) == ("forget", "main", "eva")
        await _forget_bad_requests(records)
    assert (await cli.run("lake", "rebuild", "--tenant", "nobody"))[0] == 1


async def _forget_bad_requests(records: PersistenceClient) -> None:
    await records.put_item("ShopState", {"name": "lake_requests", "request:1": "x", "request:2": {"kind": "drop"}})
    assert await list_requests(records) == []
    assert (await records.get_item("ShopState", {"name": "lake_requests"})).item == {"name": "lake_requests"}
