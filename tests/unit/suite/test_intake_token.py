"""The read token of the intake: strangers may order, and nothing else."""

from typing import Any

import pytest

from clients.access import Access
from clients.errors import Refused
from services.intake.actions import ACTIONS
from tests.support.in_process import Suite
from tests.support.in_process_cli import InProcessCli
from tests.support.in_process_http import InProcessHttp
from tests.support.lines import Lines
from tests.support.orders import ORDER

SERVER = "server_port"
TOKEN = "a read token of the intake"
OPEN = {"help", "ping", "health", "authenticate", "unwatch", "quit"}
WRONG = ["authenticate", "authenticate another token of the intake", '{"action":"authenticate","token":"ä"}']


async def ask(lines: Lines, action: str, order_id: str) -> Any:
    fields = ACTIONS.actions[action].request.__struct_fields__
    return await lines.ask({"action": action} | ({"id": order_id} if "id" in fields else {}))


@pytest.mark.parametrize("action", sorted(ACTIONS.actions.keys() - OPEN))
async def test_action_needs_the_token_and_the_connection_stays_open_for_orders(suite: Suite, action: str) -> None:
    await suite.start_intake(intake_read_token=TOKEN)
    async with suite.connect(SERVER) as lines:
        placed = await lines.ask(ORDER)
        for order_id in (placed["id"], "not an id"):
            refused = await ask(lines, action, order_id)
            assert (refused["success"], refused["error"]) == (False, "unauthorized")
            assert "INTAKE_READ_TOKEN" in refused["hint"]
        assert (await lines.ask(ORDER))["success"]
        assert await lines.ask(f"authenticate {TOKEN}") == {"success": True, "authenticated": True}
        assert (await ask(lines, action, placed["id"])).get("error") != "unauthorized"


@pytest.mark.parametrize("action", sorted(OPEN - {"authenticate", "quit"}))
async def test_action_is_open_to_all(suite: Suite, action: str) -> None:
    await suite.start_intake(intake_read_token=TOKEN)
    async with suite.connect(SERVER) as lines:
        assert (await ask(lines, action, ""))["success"]


async def test_token_counts_for_later_requests_of_the_same_segment_and_for_no_other_connection(suite: Suite) -> None:
    await suite.start_intake(intake_read_token=TOKEN)
    async with suite.connect(SERVER) as lines, suite.connect(SERVER) as other:
        lines.send(f'list\n{{"action":"authenticate","token":"{TOKEN}","request_id":1}}\nlist\nstats\n')
        answers = [await lines.read() for _ in range(4)]
        assert [answer["success"] for answer in answers] == [False, True, True, True]
        assert answers[1]["request_id"] == 1
        assert (await other.ask("list"))["error"] == "unauthorized"


@pytest.mark.parametrize("line", WRONG)
async def test_wrong_token_does_not_open_anything(suite: Suite, line: str) -> None:
    await suite.start_intake(intake_read_token=TOKEN)
    async with suite.connect(SERVER) as lines:
        lines.send(f"{line}\nlist\n")
        answer = await lines.read()
        assert answer["error"] == ("invalid_params" if line == "authenticate" else "unauthorized")
        assert TOKEN not in str(answer)
        if line == "authenticate":
            assert (await lines.read())["error"] == "unauthorized"
        else:
            assert await lines.at_end()


async def test_without_the_setting_all_is_open_and_a_token_does_no_harm(suite: Suite) -> None:
    await suite.start_intake()
    async with suite.connect(SERVER) as lines, suite.intake(access=Access(TOKEN)) as client:
        assert (await lines.ask("list"))["pedidos"] == []
        assert [order async for order in client.list()] == []


async def test_clients_and_the_gateway_send_the_token(suite: Suite) -> None:
    await suite.start_intake(intake_read_token=TOKEN)
    async with suite.intake(access=Access(TOKEN)) as client:
        accepted = await client.order(ORDER)
        assert (await client.follow(accepted.id)).id == accepted.id
        assert (await client.stats())["aceptados"] == 1
    async with suite.intake() as stranger:
        assert (await stranger.order(ORDER)).id
        with pytest.raises(Refused) as refused:
            await stranger.status(accepted.id)
        assert refused.value.error == "unauthorized"


@pytest.mark.parametrize(("token", "status"), [(TOKEN, 200), (None, 503)])
async def test_gateway_reads_orders_with_the_token(suite: Suite, token: str | None, status: int) -> None:
    await suite.start_intake(intake_read_token=TOKEN)
    http = InProcessHttp(await suite.start_gateway(intake_read_token=token))
    assert (await http.post("/api/v1/orders", ORDER)).status == 201
    assert (await http.get("/api/v1/orders")).status == status


async def test_command_line_sends_the_token(suite: Suite, cli: InProcessCli, monkeypatch: pytest.MonkeyPatch) -> None:
    await suite.start_intake(intake_read_token=TOKEN)
    status, _, told = await cli.run("list")
    assert status == 1
    assert "INTAKE_READ_TOKEN" in told
    monkeypatch.setenv("INTAKE_READ_TOKEN", TOKEN)
    assert (await cli.run("list"))[:2] == (0, [])


@pytest.mark.parametrize(
    ("settings", "peer", "refused"),
    [
        ({}, "192.0.2.7", True),
        ({}, "127.0.0.1", False),
        ({"open_internal_ports": True}, "192.0.2.7", False),
        ({"intake_read_token": TOKEN}, "192.0.2.7", False),
    ],
)
async def test_strangers_end_no_order_of_a_purchase_in_any_stage(
    suite: Suite, settings: dict[str, Any], peer: str, refused: bool
) -> None:
    await suite.start_intake(stage="dev", processing_seconds=3600, **settings)
    async with suite.connect(SERVER, peer=peer) as lines:
        if "intake_read_token" in settings:
            await lines.ask(f"authenticate {TOKEN}")
        purchase = await lines.ask(
            {**ORDER, "request_id": "purchase/main/ana/1", "no_antes_de": "2999-01-01T00:00:00Z"}
        )
        other = await lines.ask({**ORDER, "no_antes_de": "2999-01-01T00:00:00Z"})
        assert (await lines.ask({"action": "cancel", "id": other["id"]}))["success"]
        for action in ("retry", "cancel"):
            answer = await lines.ask({"action": action, "id": purchase["id"]})
            assert (answer.get("error") == "unauthorized") == refused, answer
        shown = (await lines.ask({"action": "status", "id": purchase["id"]}))["pedido"]
        assert shown["estado"] == ("en cola" if refused else "cancelado")
