"""The audit log of users: what the TCP servers record."""

import asyncio
import json
from pathlib import Path
from typing import Any

from clients.access import Access
from clients.accounts import accounts
from clients.request_context import set_request_user
from shared.stores.audit_log import AuditKind, list_audit_files
from tests.support.in_process import Suite
from tests.support.in_process_cli import InProcessCli
from tests.support.in_process_http import InProcessHttp
from tests.support.orders import ORDER

LATER = {**ORDER, "no_antes_de": "2099-01-01T00:00:00Z"}
TOKEN = "a token of the suite"


def read_entries(folder: Path, kind: AuditKind) -> list[dict[str, Any]]:
    files = list_audit_files(folder / "audit", [kind])
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


async def test_intake_records_who_cancelled_and_nothing_that_was_refused(suite: Suite) -> None:
    await suite.start_intake()
    async with suite.connect("server_port") as lines:
        first, second, done = [(await lines.ask(order))["id"] for order in (LATER, LATER, ORDER)]
        await lines.ask({"action": "cancel", "id": first.upper(), "user": "ana", "trace": "t1"})
        await lines.ask(f"cancel {second}")
        assert (await lines.ask({"action": "cancel", "id": second, "user": "eva"}))["error"] == "conflict"
        await lines.ask({"action": "status", "id": done, "user": "ana"})
    await suite.stop("server_port")
    told = [{**entry, "at": ""} for entry in read_entries(suite.folder, "changes")]
    assert told == [
        {
            "at": "",
            "server": "intake",
            "action": "cancel",
            "user": "ana",
            "address": "127.0.0.1",
            "trace": "t1",
            "id": first,
        },
        {"at": "", "server": "intake", "action": "cancel", "address": "127.0.0.1", "id": second},
    ]


async def test_entries_are_written_while_the_server_runs(suite: Suite) -> None:
    await suite.start_intake()
    async with suite.connect("server_port") as lines:
        order = (await lines.ask(LATER))["id"]
        await lines.ask(f"cancel {order}")
        while not read_entries(suite.folder, "changes"):
            await asyncio.sleep(0.1)


async def test_refused_tokens_are_recorded_without_the_token(suite: Suite) -> None:
    await suite.start_intake(intake_read_token=TOKEN)
    await suite.start_persistence(service_token=TOKEN)
    async with suite.connect("server_port") as lines, suite.connect("tcp_persist_port") as records:
        await lines.ask("list")
        await lines.ask("authenticate a token of somebody")
        await records.ask("authenticate a token of somebody")
    await suite.stop("server_port")
    await suite.stop("tcp_persist_port")
    told = read_entries(suite.folder, "access")
    assert sorted((entry["server"], entry["action"], entry["outcome"], entry["address"]) for entry in told) == [
        ("intake", "authenticate", "refused", "127.0.0.1"),
        ("intake", "list", "refused", "127.0.0.1"),
        ("persistence", "authenticate", "refused", "127.0.0.1"),
    ]
    assert "somebody" not in str(told)


async def test_persistence_records_keys_of_what_users_change_and_no_other_members(suite: Suite) -> None:
    await suite.start_persistence(service_token=TOKEN)
    async with suite.persistence(access=Access(TOKEN)) as client:
        await client.put_item("Tasks", {"id": "0", "status": "open", "created": "now"})
        set_request_user("ana")
        await client.put_item("Credentials", {"user": "u1", "hash": "a secret hash"})
        await client.update_item("Tasks", {"id": "0"}, {"status": "done"})
        await client.get_item("Tasks", {"id": "0"})
        await client.of("shop").delete_item("Tasks", {"id": "1"})
        await client.save_score(7, 100)
    await suite.stop("tcp_persist_port")
    told = read_entries(suite.folder, "changes")
    assert {entry["user"] for entry in told} == {"ana"}
    assert [(entry["action"], entry.get("tenant"), entry.get("items"), entry.get("player")) for entry in told] == [
        ("put_item", "main", [{"table": "Credentials", "user": "u1"}], None),
        ("update_item", "main", [{"table": "Tasks", "id": "0"}], None),
        ("delete_item", "shop", [{"table": "Tasks", "id": "1"}], None),
        ("save_score", None, None, 7),
    ]
    assert "secret" not in str(told)


async def test_gateway_records_changes_with_the_user_and_passes_the_user_on(suite: Suite) -> None:
    await suite.start_intake()
    await suite.start_persistence()
    http = InProcessHttp(await suite.start_gateway())
    order = (await http.post("/api/v1/orders", LATER)).json["id"]
    assert (await http.ask("DELETE", f"/api/v1/orders/{order}", headers={"X-Request-ID": "t1"})).status < 300
    assert (await http.post("/tasks", {"title": "a secret title"})).status == 201
    assert (await http.post("/tasks", {"titel": "x"})).status == 422
    await http.get("/tasks")
    for name in ("main_server_port", "server_port", "tcp_persist_port"):
        await suite.stop(name)
    told = [
        {name: entry.get(name) for name in ("server", "user", "action", "status", "id", "path", "trace")}
        for entry in read_entries(suite.folder, "changes")
    ]
    gateway = [entry for entry in told if entry["server"] == "gateway"]
    assert [(entry["action"], entry["user"], entry["status"]) for entry in gateway] == [
        ("POST /api/v1/orders", "developer", 201),
        ("DELETE /api/v1/orders/{id}", "developer", 200),
        ("POST /tasks", "developer", 201),
    ]
    assert (gateway[1]["path"], gateway[1]["trace"]) == (f"/api/v1/orders/{order}", "t1")
    (cancelled,) = [entry for entry in told if entry["server"] == "intake"]
    assert (cancelled["user"], cancelled["id"], cancelled["trace"]) == ("developer", order, "t1")
    (stored,) = [entry for entry in told if entry["server"] == "persistence"]
    assert stored["user"] == "developer"
    assert "secret" not in str(told)


async def test_transaction_of_many_items_has_an_entry_of_bounded_size(suite: Suite) -> None:
    await suite.start_persistence()
    puts = [
        {"do": "put", "table": "Tasks", "item": {"id": str(number), "status": "open", "created": "x"}}
        for number in range(9)
    ]
    async with suite.connect("tcp_persist_port") as lines:
        assert (await lines.ask({"action": "transact", "user": "ana", "actions": puts}))["success"]
        assert (await lines.ask({"action": "transact", "actions": puts}))["success"]
    await suite.stop("tcp_persist_port")
    (entry,) = read_entries(suite.folder, "changes")
    assert (len(entry["items"]), entry["writes"]) == (5, 9)


async def test_command_shows_the_newest_entries_of_all_servers(
    suite: Suite, cli: InProcessCli, monkeypatch: Any
) -> None:
    monkeypatch.setenv("DATA_DIR", str(suite.folder))
    status, _, told = await cli.run("audit-log")
    assert status == 1
    assert "no audit log" in told
    await suite.start_intake()
    await suite.start_persistence()
    async with suite.connect("server_port") as lines, suite.connect("tcp_persist_port") as records:
        for number, user in enumerate(("ana", "eva", "ana")):
            order = (await lines.ask(LATER))["id"]
            await lines.ask({"action": "cancel", "id": order, "user": user})
            await records.ask({"action": "save_score", "user_id": number, "puntaje": 1, "user": user})
    await suite.stop("server_port")
    await suite.stop("tcp_persist_port")
    path = list_audit_files(suite.folder / "audit", ["changes"])[0]
    path.write_bytes(path.read_bytes() + b'{"at":"half a li')
    status, shown, _ = await cli.run("audit-log", "--user", "ana")
    assert status == 0
    assert [(entry["server"], entry["user"]) for entry in shown] == [
        ("intake", "ana"),
        ("persistence", "ana"),
        ("intake", "ana"),
        ("persistence", "ana"),
    ]
    assert len((await cli.run("audit-log", "--limit", "2"))[1]) == 2
    assert (await cli.run("audit-log", "--since", "2999-01-01"))[1] == []
    assert (await cli.run("audit-log", "--kind", "access"))[1] == []
    status, table, _ = await cli.show_on_terminal("audit-log", "--limit", "1")
    assert (status, "player=2" in table, "save_score" in table) == (0, True, True)


async def test_sign_ins_refusals_and_roles_are_recorded_without_secrets(suite: Suite) -> None:
    await suite.start_intake()
    await suite.start_persistence(service_token=TOKEN)
    closed = {"stage": "test", "service_token": TOKEN, "jwt_secret": "a secret of at least thirty-two characters"}
    http = InProcessHttp(await suite.start_gateway(**closed))
    user = {"email": "ana@x.es", "password": "siete gatos verdes", "first_name": "Ana", "last_name": "Paz"}
    registered = (await http.post("/api/v1/users/register", {**user, "tenant_id": "main"})).json
    login = {"email": "ana@x.es", "tenant_id": "main"}
    assert (await http.post("/api/v1/users/login", {**login, "password": "otra clave secreta"})).status == 401
    bearer = {"Authorization": f"Bearer {registered['token']}"}
    assert (await http.ask("GET", "/api/v1/orders", headers=bearer)).status == 403
    assert (await http.ask("GET", "/api/v1/orders")).status == 401
    async with suite.persistence(access=Access(TOKEN)) as client:
        await accounts.change_account(client, registered["user_id"], roles=["admin"])
    reply = await http.post("/api/v1/users/login", {**login, "password": "siete gatos verdes"})
    bearer = {"Authorization": f"Bearer {reply.json['token']}"}
    eva = (await http.post("/api/v1/users/register", {**user, "email": "eva@x.es", "tenant_id": "main"})).json
    path = f"/api/v1/users/{eva['user_id']}/role"
    assert (await http.ask("PUT", path, {"role": "viewer"}, headers=bearer)).status == 200
    await suite.stop("main_server_port")
    told = read_entries(suite.folder, "access")
    assert [(entry["action"], entry["user"], entry["status"]) for entry in told] == [
        ("POST /api/v1/users/register", "ana@x.es", 200),
        ("POST /api/v1/users/login", "anonymous", 401),
        ("GET /api/v1/orders", "ana@x.es", 403),
        ("GET /api/v1/orders", "anonymous", 401),
        ("POST /api/v1/users/login", "ana@x.es", 200),
        ("POST /api/v1/users/register", "eva@x.es", 200),
        ("PUT /api/v1/users/{id}/role", "ana@x.es", 200),
    ]
    assert told[-1]["path"] == path
    assert not any(secret in str(told) for secret in ("gatos", "secreta", registered["token"]))
