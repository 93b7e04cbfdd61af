"""SIGUSR2 makes a server write what it is doing, whether its event loop turns or not."""

import signal
from pathlib import Path
from typing import Any

from tests.support.intake import (
    DistributedProcess,
    GatewayProcess,
    IntakeProcess,
    InventoryProcess,
    PersistenceProcess,
    ServerProcess,
)

SECRET = "the-address-of-somebody"


def dump_state(server: ServerProcess, service: str) -> dict[str, Any]:
    """Returns the snapshot of one service."""
    times = 1 + sum(entry["event"] == "state_dump" for entry in server.log)
    server.send_signal(signal.SIGUSR2)
    while (entry := server.wait_for_log("state_dump", times))["service"] != service:
        times += 1
    return entry


def test_every_server_writes_its_state_and_goes_on(tmp_path: Path) -> None:
    intake, persistence = IntakeProcess(tmp_path), PersistenceProcess(tmp_path)
    distributed = DistributedProcess(tmp_path)
    gateway = GatewayProcess(tmp_path, [intake, persistence, distributed])
    inventory = InventoryProcess(tmp_path, [intake, persistence, distributed])
    with intake, persistence, distributed, gateway, inventory:
        servers: list[ServerProcess] = [persistence, distributed, gateway, inventory]
        for server, service in zip(servers, ("persistence", "distributed", "gateway", "inventory"), strict=True):
            for _ in range(2):
                state = dump_state(server, service)
                assert state["event_loop"] == "turning"
                assert state["tasks"] >= len(state["task_places"]) > 0
                assert [thread["name"] for thread in state["threads"]].count("MainThread") == 1
        state = dump_state(persistence, "persistence")
        assert state["connections_by_address"] == {"127.0.0.1": state["connections"]}
        assert state["requests_in_flight"] >= 0
        assert dump_state(gateway, "gateway")["backends"]["intake"]["list"] == {"waiting": 0, "breaker": "closed"}


def test_a_worker_that_is_stuck_shows_where(tmp_path: Path) -> None:
    settings = {"WORKER_COUNT": 1, "WORKER_CONCURRENCY": 1, "LEASE_SECONDS": 3600}
    with IntakeProcess(tmp_path, {**settings, "ORDER_HANDLER": "tests.support.kitchens:fussy"}) as intake:
        with intake.connect() as session:
            orders = [
                session.ask(f'{{"cliente":"blocks once","productos":["x"],"direccion":"{SECRET}"}}')["id"]
                for _ in range(4)
            ]
            session.wait_until(f"status {orders[0]}", "pedido.estado", "en proceso")
            # The order is at work a moment before its handler blocks.
            while (worker := dump_state(intake, "worker"))["event_loop"] != "stuck":
                pass
            state = dump_state(intake, "intake")
        (main,) = (thread for thread in worker["threads"] if thread["name"] == "MainThread")
        assert any("tests/support/kitchens.py:" in frame and frame.endswith(" fussy") for frame in main["stack"])
        assert [one["attempt"] for one in worker["attempts"]] == [1]
        assert (state["event_loop"], state["open_orders"], state["connections"]) == ("turning", 4, 1)
        (shown,) = state["workers"]
        assert (shown["orders"] + state["backlog"], shown["running"]) == (4, 1)
        assert shown["oldest"]["order"] == orders[0]
        assert state["backlog"] == 0 or state["oldest_waiting"]["order"] in orders
        assert SECRET not in str([worker, state])
        intake.kill()
