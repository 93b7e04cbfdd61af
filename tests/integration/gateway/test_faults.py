"""Servers behind the gateway that are away, come back, or hang: a clear answer in time, and recovery by itself."""

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http import Http, Reply
from tests.support.intake import LOOK_SECONDS, PATIENCE, GatewayProcess, IntakeProcess, PersistenceProcess
from tests.support.orders import ORDER


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[IntakeProcess, PersistenceProcess]]:
    """An intake and a persistence server of this test's own."""
    with IntakeProcess(tmp_path / "data") as intake, PersistenceProcess(tmp_path / "data") as persistence:
        yield intake, persistence
    for server in (intake, persistence):
        server.kill_if_alive()


def placed(http: Http, key: str | None = None) -> Reply:
    return http.post("/api/v1/orders", ORDER, **({} if key is None else {"Idempotency_Key": key}))


def until_it_works(http: Http) -> Reply:
    """Sends an order again, as its client would, until it is accepted."""
    deadline = time.monotonic() + PATIENCE
    while (reply := placed(http, "again and again")).status not in (200, 201):
        assert reply.status in (503, 504), reply
        assert time.monotonic() < deadline
        time.sleep(LOOK_SECONDS)
    return reply


def test_a_server_that_is_away_is_told_of_and_what_does_not_need_it_goes_on(tmp_path: Path) -> None:
    with PersistenceProcess(tmp_path) as persistence, GatewayProcess(tmp_path, [persistence]) as gateway:
        http = Http(gateway)
        reply = placed(http)
        assert reply.status == 503
        assert reply.problem["error"] == "unavailable"
        assert int(reply.headers["retry-after"]) >= 1
        assert "nothing was done" in reply.problem["hint"]
        assert http.get("/tasks").status == 200
        ready = http.get("/ready")
        assert ready.status == 503
        states = {name: one["status"] for name, one in ready.json["dependencies"].items()}
        assert states == {"intake": "away", "persistence": "ok", "distributed": "away"}


def test_order_of_starting_does_not_matter(tmp_path: Path) -> None:
    intake, persistence = IntakeProcess(tmp_path), PersistenceProcess(tmp_path)
    with GatewayProcess(tmp_path, [intake, persistence]) as gateway:
        http = Http(gateway)
        assert placed(http).status == 503
        with intake, persistence:
            assert until_it_works(http).status == 201
            # The distributed service is not needed.
            ready = http.get("/ready")
            assert (ready.status, ready.json["status"]) == (200, "degraded")


def test_orders_go_on_after_the_intake_was_killed(
    servers: tuple[IntakeProcess, PersistenceProcess], tmp_path: Path
) -> None:
    intake, _ = servers
    with GatewayProcess(tmp_path, servers) as gateway:
        http = Http(gateway)
        before = placed(http).json["id"]
        intake.kill()
        assert placed(http).status == 503
        intake.start()
        assert until_it_works(http).status == 201
        assert http.get(f"/api/v1/orders/{before}").status == 200


def test_a_server_that_hangs_is_told_of_in_time_and_then_left_alone(
    servers: tuple[IntakeProcess, PersistenceProcess], tmp_path: Path
) -> None:
    intake, _ = servers
    with GatewayProcess(tmp_path, servers, {"REQUEST_SECONDS": 0.3}) as gateway:
        http = Http(gateway)
        assert placed(http).status == 201
        intake.send_signal(signal.SIGSTOP)
        try:
            first = placed(http)
            assert first.status == 504
            assert first.problem["error"] == "deadline_exceeded"
            while placed(http).status == 504:
                time.sleep(LOOK_SECONDS)
            gateway.wait_for_log("upstream_unavailable")
            assert http.get("/ready").json["dependencies"]["intake"]["breaker"] != "closed"
            assert http.get("/tasks").status == 200
        finally:
            intake.send_signal(signal.SIGCONT)
        until_it_works(http)
        gateway.wait_for_log("upstream_available")


def test_more_than_can_be_at_work_is_sent_away_at_once(
    servers: tuple[IntakeProcess, PersistenceProcess], tmp_path: Path
) -> None:
    intake, _ = servers
    with GatewayProcess(tmp_path, servers, {"MAX_REQUESTS": 1}) as gateway:
        http = Http(gateway)
        assert placed(http).status == 201
        intake.send_signal(signal.SIGSTOP)
        try:
            with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) as waiting:
                waiting.sendall(b"GET /api/v1/orders HTTP/1.1\r\nHost: x\r\n\r\n")
                while (reply := http.get("/health")).status == 200:
                    time.sleep(LOOK_SECONDS)
                assert reply.status == 503
                assert reply.headers["retry-after"]
                intake.send_signal(signal.SIGCONT)
                assert waiting.makefile("rb").readline().split()[1] == b"200"
        finally:
            intake.send_signal(signal.SIGCONT)
        assert http.get("/health").status == 200


def test_a_full_queue_is_told_with_the_time_to_come_back(tmp_path: Path) -> None:
    settings = {"MAX_PEDIDOS_EN_COLA": 1, "PROCESSING_SECONDS": 60}
    with IntakeProcess(tmp_path, settings) as intake, GatewayProcess(tmp_path, [intake]) as gateway:
        http = Http(gateway)
        assert placed(http).status == 201
        reply = placed(http)
        assert reply.status == 503
        assert reply.problem["error"] == "queue_full"
        assert reply.problem["retry_after_ms"] >= 1
        assert int(reply.headers["retry-after"]) >= 1
        outcomes = http.post("/api/v1/orders", [ORDER, ORDER]).json["resultados"]
        assert [one["problem"]["error"] for one in outcomes] == ["queue_full", "queue_full"]


def test_a_gateway_without_the_token_is_not_let_in(tmp_path: Path) -> None:
    token = {"SERVICE_TOKEN": "a token of the tests"}
    with PersistenceProcess(tmp_path, token) as persistence:
        with GatewayProcess(tmp_path / "1", [persistence], token) as gateway:
            assert Http(gateway).get("/tasks").status == 200
        with GatewayProcess(tmp_path / "2", [persistence]) as gateway:
            reply = Http(gateway).get("/tasks")
            assert reply.status == 503
            gateway.wait_for_log("upstream_refused_gateway")
