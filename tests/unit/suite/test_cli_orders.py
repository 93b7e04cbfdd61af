"""The commands around the intake, in this process."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest

from shared.domain.states import State
from tests.support.in_process import Suite
from tests.support.in_process_cli import InProcessCli
from tests.support.in_process_http import InProcessHttp
from tests.support.orders import ORDER
from tests.support.simulation import pass_time_until

FLAGS = ["--cliente", "Ana Paz", "--producto", "pan", "--producto", "agua:2:0.80", "--direccion", "Mayor 1"]


@pytest.fixture(autouse=True)
async def intake(suite: Suite, request: pytest.FixtureRequest) -> int:
    """An intake; `@pytest.mark.intake(NAME=value)` gives it settings."""
    marker = request.node.get_closest_marker("intake")
    settings = marker.kwargs if marker else {}
    return await suite.start_intake(**{name.lower(): value for name, value in settings.items()})


async def test_orders_from_a_file_and_from_standard_input(cli: InProcessCli, tmp_path: Path) -> None:
    lines = "".join(json.dumps({"cliente": str(n), "productos": ["x"], "direccion": "d"}) + "\n" for n in range(3))
    (tmp_path / "orders").write_text(lines)
    assert len((await cli.run("order", "--file", str(tmp_path / "orders")))[1]) == 3
    assert len((await cli.run("order", "-f", "-", stdin=lines))[1]) == 3
    assert (await cli.run("stats", "--intake"))[1][0]["aceptados"] == 6


async def test_wrong_order_costs_only_itself(cli: InProcessCli) -> None:
    good = '{"cliente":"a","productos":["x"],"direccion":"d"}\n'
    status, results, told = await cli.run("order", "-f", "-", stdin=good + '{"cliente":"a"}\n' + good)
    assert (status, len(results)) == (1, 2)
    assert "productos is missing" in told


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["bogus"], 2),
        (["list", "--limite", "x"], 2),
        (["order"], 2),
        (["order", "--cliente", "a", "--file", "-"], 2),
        (["order", "--producto", "a:2b"], 2),
        (["loadtest", "--connections", "0"], 2),
        (["ping", "--port", "99999"], 2),
        (["watch", "no"], 1),
        (["order", "--file", "/nowhere"], 1),
        (["loadtest", "--input", "/nowhere"], 1),
        (["loadtest", "--baseline", "/dev/null"], 1),
        (["loadtest", "--report", "/nowhere/page.html"], 1),
    ],
)
async def test_exit_status_tells_wrong_usage_from_errors(cli: InProcessCli, words: list[str], status: int) -> None:
    ended, results, told = await cli.run(*words)
    assert (ended, results) == (status, [])
    assert told


async def test_order_is_taken_back_and_one_that_is_final_is_not(cli: InProcessCli) -> None:
    _, (waiting,), _ = await cli.run("order", *FLAGS, "--no-antes-de", "2999-01-01T00:00:00Z")
    status, (cancelled,), _ = await cli.run("cancel", waiting["id"])
    assert (status, cancelled["estado"]) == (0, "cancelado")
    for command in ("cancel", "retry"):
        status, _, told = await cli.run(command, waiting["id"])
        assert status == 1
        assert "cancelado" in told
    assert (await cli.run("list", "--estado", "cancelado"))[1][0]["id"] == waiting["id"]
    assert await cli.run("list", "--estado", "en_cola") == (0, [], "")


async def test_orders_of_a_file_keep_their_order_and_prices(cli: InProcessCli) -> None:
    lines = [
        {"cliente": f"c{n}", "productos": [{"producto": "x", "precio": 0.5}], "direccion": "d", "request_id": n}
        for n in range(300)
    ]
    text = json.dumps(lines).replace("0.5", "999999999999.123456")
    accepted = (await cli.run("order", "--file", "-", stdin=text))[1]
    found = (await cli.run("list", "--limite", "300"))[1]
    assert [order["id"] for order in reversed(found)] == [answer["id"] for answer in accepted]
    assert found[0]["cliente"] == "c299"
    assert {order["productos"][0]["precio"] for order in found} == {Decimal("999999999999.123456")}


async def test_automatic_mode_ends_when_it_has_sent_enough(cli: InProcessCli) -> None:
    status, results, _ = await cli.run("order", "--auto", "--every", "0", "--count", "3")
    assert (status, len(results)) == (0, 3)


async def test_order_that_fails_is_told_and_explained_at_every_width(suite: Suite, cli: InProcessCli) -> None:
    await suite.stop("server_port")
    await suite.start_intake(order_handler="tests.support.kitchens:fussy", max_attempts=2, retry_seconds=0.001)
    words = ["order", "--cliente", "fails", "--producto", "pan", "--direccion", "d", "--follow"]
    status, (_, final), told = await cli.run(*words)
    assert (status, final["estado"]) == (1, "fallido")
    assert f"order {final['id']} ended fallido after 2 attempts: RuntimeError: no flour" in told
    assert len((await cli.run("explain", final["id"]))[1][0]["errores"]) == 2
    for width in ("60", "80", "200"):
        for words in (["list", "--estado", "fallido"], ["status", final["id"]], ["explain", final["id"]]):
            status, shown, _ = await cli.show_on_terminal(*words, width=width)
            assert status == 0
            assert final["id"] in shown
            assert "RuntimeError: no flour" in " ".join(shown.split())


async def test_commands_show_people_what_programs_get_as_json(cli: InProcessCli) -> None:
    status, shown, _ = await cli.show_on_terminal("order", *FLAGS, "--follow")
    assert (status, "listo" in shown) == (0, True)
    (listed,) = (await cli.run("list"))[1]
    for words in (["list"], ["status", listed["id"]], ["explain", listed["id"]], ["health"], ["stats", "--intake"]):
        status, shown, _ = await cli.show_on_terminal(*words)
        assert status == 0
        assert shown.strip()
    assert "2 x agua" in (await cli.show_on_terminal("list"))[1]
    assert "answered in" in (await cli.show_on_terminal("ping"))[1]


async def test_prompts_ask_for_an_order(cli: InProcessCli) -> None:
    status, shown, _ = await cli.show_on_terminal("order", stdin="Ana\nagua:2\npan\n\nMayor 1\n")
    assert (status, "en cola" in shown) == (0, True)
    assert (await cli.run("order"))[0] == 2
    (order,) = (await cli.run("list"))[1]
    assert order["productos"] == [{"producto": "agua", "cantidad": 2}, "pan"]


async def test_watching_shows_each_change_until_the_server_ends(suite: Suite, cli: InProcessCli) -> None:
    watching = asyncio.create_task(cli.run("watch"))
    await asyncio.sleep(0.1)
    async with suite.intake() as client:
        await client.follow((await client.order(ORDER)).id)
    await suite.stop("server_port")
    status, events, told = await watching
    assert status == 1
    assert [event["event"] for event in events] == ["order.accepted", "order.started", "order.finished"]
    assert "ended the connection" in told


async def test_statistics_notifications_and_audit(suite: Suite, cli: InProcessCli) -> None:
    await suite.start_persistence()
    await suite.start_distributed()
    async with suite.persistence() as records, suite.distributed() as distributed:
        await records.save_score(7, 50)
        await distributed.add_notification(7, "hola")
        await cli.run("order", *FLAGS, "--follow")
        status, (found, *_), _ = await cli.run("audit")
        assert (status, found["sound"]) == (0, True)
        status, (stats,), _ = await cli.run("stats")
        assert (status, stats["total_usuarios"], stats["pedidos"]["aceptados"]) == (0, 1, 1)
        assert (await cli.run("stats", "7"))[1][0]["puntaje_maximo"] == 50
        for words in (["stats"], ["stats", "7"], ["audit"], ["notifications", "7"]):
            status, shown, _ = await cli.show_on_terminal(*words)
            assert (status, bool(shown.strip())) == (0, True)
        status, told, _ = await cli.run("notifications", "7", "--read")
        assert {one["message"] for one in told} == {"hola", "New record: 50"}
        assert (await cli.run("notifications", "7", "--unread"))[1] == []
        for server in ("intake", "persistence", "distributed"):
            assert (await cli.run("ready", server))[1] == [{"status": "ok"}]
        assert (await cli.run("ready", "inventory"))[0] == 1


async def test_audit_names_orders_that_differ(suite: Suite, cli: InProcessCli) -> None:
    await suite.start_distributed()
    _, (accepted, *_), _ = await cli.run("order", *FLAGS, "--follow")
    await pass_time_until(lambda: any(moves.started for _, moves in suite.orders.outbox))
    await asyncio.sleep(1)
    # What the follower has read is not what the store says any more.
    suite.orders.orders[1].state = State.FAILED
    await suite.stop("server_port")
    await suite.start_intake()
    status, (found, *others), _ = await cli.run("audit", "--wait", "0")
    assert (status, found["sound"]) == (1, False)
    assert [(one["id"], one["intake"], one["distributed"]) for one in others] == [(accepted["id"], "fallido", "listo")]


async def test_audit_tells_that_changes_of_records_were_missing(suite: Suite, cli: InProcessCli) -> None:
    """As after `records.db` was restored: the numbers of users no longer come from every change."""
    await suite.start_persistence()
    await suite.start_distributed()
    async with suite.persistence() as records:
        await records.save_score(7, 50)
        async with suite.distributed() as distributed:
            while not (await distributed.get_global_stats())["total_usuarios"]:
                await asyncio.sleep(0.1)
        assert len((await cli.run("audit"))[1]) == 1
        await suite.stop("distributed_port")
        await records.save_score(7, 60)
        suite.records.forgotten = len(suite.records.feed)
        await suite.start_distributed()
        async with suite.distributed() as distributed:
            while (await distributed.get_user_stats(7))["puntaje_maximo"] != 60:
                await asyncio.sleep(0.1)
    status, (found, told), _ = await cli.run("audit")
    assert (status, found["sound"], told["repair"]["motivos"]) == (0, True, ["record_changes_expired"])
    assert told["repair"]["cuando"].endswith("Z")


async def test_commands_say_what_is_not_there(suite: Suite, cli: InProcessCli, monkeypatch: pytest.MonkeyPatch) -> None:
    await suite.stop("server_port")
    status, _, told = await cli.run("ping", "-p", "9")
    assert (status, "no server answers" in told) == (1, True)
    monkeypatch.setenv("STORE", "dynamodb")
    for words in (["stats"], ["notifications", "1"], ["audit"], ["observe", "--topics", "orders"]):
        status, _, told = await cli.run(*words)
        assert (status, "STORE=dynamodb" in told, told.count("\n")) == (1, True, 1)


async def test_observers_show_events_and_records(suite: Suite, cli: InProcessCli, tmp_path: Path) -> None:
    await suite.start_persistence()
    await suite.start_distributed()
    file = tmp_path / "changes"
    events = asyncio.create_task(cli.run("observe", "--topics", "orders", "--since", "0"))
    await asyncio.sleep(0.1)
    async with suite.intake() as client:
        await client.follow((await client.order(ORDER)).id)
    await asyncio.sleep(1)
    events.cancel()
    records = asyncio.create_task(cli.run("observe", "-o", str(file)))
    await asyncio.sleep(0.1)
    async with suite.persistence() as stored:
        await stored.set("X", {"a": 1})
    await asyncio.sleep(1)
    records.cancel()
    assert json.loads(file.read_text())["data"] == {"a": 1}


async def test_token_is_made_with_the_secret_of_the_gateway(
    suite: Suite, cli: InProcessCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await cli.show("token", "--user", "41"))[0] == 2
    monkeypatch.setenv("JWT_SECRET", "short")
    assert "shorter than 32" in (await cli.show("token", "--user", "41"))[2]
    secret = "a secret of the tests, long enough"
    monkeypatch.setenv("JWT_SECRET", secret)
    status, made, _ = await cli.show("token", "--user", "41")
    assert status == 0
    await suite.start_persistence()
    http = InProcessHttp(await suite.start_gateway(stage="test", jwt_secret=secret))
    bearer = {"Authorization": f"Bearer {made.strip()}"}
    saved = await http.ask("POST", "/api/guardar_puntaje", {"puntaje": 9}, headers=bearer)
    assert saved.json["puntaje_maximo"] == 9
