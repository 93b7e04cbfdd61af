"""Intakes on DynamoDB: one alone, and several on the same tables, one of which dies."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dynamodb import CREDENTIALS, DynamoServer, own_tables, settings_of
from tests.support.intake import IntakeProcess, Session


@pytest.fixture
def settings(dynamodb: str) -> dict[str, str]:
    """Those of intakes that share tables, and soon notice when one of them dies."""
    return {**settings_of(own_tables(dynamodb)), "SERVER_LEASE_SECONDS": "1"}


@pytest.fixture
def two(tmp_path: Path, settings: dict[str, str]) -> Iterator[tuple[IntakeProcess, IntakeProcess]]:
    """Two intakes on the same tables."""
    slow = {**settings, "PROCESSING_SECONDS": "600", "ORDER_TIMEOUT_SECONDS": "1000", "SHUTDOWN_SECONDS": "1"}
    with IntakeProcess(tmp_path, slow) as one, IntakeProcess(tmp_path, settings) as other:
        yield one, other


def order(session: Session, number: int) -> str:
    """Places orders; gives the id of the last."""
    orders = [json.dumps({"cliente": f"c{n}", "productos": ["pan"], "direccion": "x"}) for n in range(number)]
    session.send("\n".join(orders) + "\n")
    answers = [session.read() for _ in orders]
    assert all(answer["success"] for answer in answers)
    return str(answers[-1]["id"])


def test_orders_are_worked_off_and_outlive_a_restart(tmp_path: Path, settings: dict[str, str]) -> None:
    server = IntakeProcess(tmp_path, settings)
    with server, server.connect() as session:
        last = order(session, 300)
        later = session.ask(
            {"cliente": "Eva", "productos": ["x"], "direccion": "y", "no_antes_de": "2100-01-01T00:00:00Z"}
        )["id"]
        session.wait_until("stats", "stats.pedidos.listo", 300)
        assert session.ask(f"status {last}")["pedido"]["estado"] == "listo"
        session.wait_until("health", "status", "ok")
    with server, server.connect() as session:
        stats = session.ask("stats")["stats"]
        assert (stats["aceptados"], stats["pedidos"]["listo"], stats["abiertos"]) == (301, 300, 1)
        assert session.ask(f"cancel {later}")["estado"] == "cancelado"
        assert session.ask(f"explain {last}")["intento"] == 1


def test_killed_intakes_orders_are_worked_off_by_another(two: tuple[IntakeProcess, IntakeProcess]) -> None:
    dead, other = two
    with dead.connect() as session:
        last = order(session, 100)
        session.wait_until("stats", "stats.pedidos.en proceso", 100)
    dead.kill()
    with other.connect() as session:
        session.wait_until("stats", "stats.pedidos.listo", 100)
        explained = session.ask(f"explain {last}")
        assert (explained["estado"], explained["intento"]) == ("listo", 2)


def test_intake_that_stood_still_ends_when_it_is_taken_for_dead(two: tuple[IntakeProcess, IntakeProcess]) -> None:
    stopped, other = two
    with stopped.connect() as session:
        order(session, 50)
        session.wait_until("stats", "stats.pedidos.en proceso", 50)
    stopped.send_signal(signal.SIGSTOP)
    with other.connect() as session:
        session.wait_until("stats", "stats.pedidos.listo", 50)
        stopped.send_signal(signal.SIGCONT)
        assert stopped.wait() == 1
        assert session.ask("stats")["stats"]["pedidos"]["listo"] == 50


def test_order_that_another_intake_cancels_leaves_its_own_with_nothing_open(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    # One worker with one place: the second order waits behind the first until that is cancelled by its time-out.
    slow = {"PROCESSING_SECONDS": "600", "WORKER_COUNT": "1", "WORKER_CONCURRENCY": "1", "ORDER_TIMEOUT_SECONDS": "2"}
    with (
        IntakeProcess(tmp_path, {**settings, **slow, "MAX_ATTEMPTS": "1"}) as one,
        IntakeProcess(tmp_path, settings) as other,
        one.connect() as here,
        other.connect() as there,
    ):
        waiting = order(here, 2)
        assert there.ask(f"cancel {waiting}")["estado"] == "cancelado"
        assert there.ask("stats")["stats"]["abiertos"] == 0
        pedidos = here.wait_until("stats", "stats.abiertos", 0)["stats"]["pedidos"]
        assert (pedidos["fallido"], pedidos["cancelado"]) == (1, 1)


def test_failed_order_that_another_intake_discards_is_counted_by_its_own(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    failing = {"ORDER_HANDLER": "tests.support.kitchens:fussy", "MAX_ATTEMPTS": "1"}
    with (
        IntakeProcess(tmp_path, {**settings, **failing}) as one,
        IntakeProcess(tmp_path, settings) as other,
        one.connect() as here,
        other.connect() as there,
    ):
        failed = here.ask({"cliente": "fails", "productos": ["pan"], "direccion": "x"})["id"]
        here.wait_until("stats", "stats.pedidos.fallido", 1)
        assert there.ask(f"cancel {failed}")["estado"] == "cancelado"
        stats = here.wait_until("stats", "stats.pedidos.cancelado", 1)["stats"]
        assert (stats["pedidos"]["fallido"], stats["abiertos"]) == (0, 0)
        pedidos = there.ask("stats")["stats"]["pedidos"]
        assert (pedidos["fallido"], pedidos["cancelado"]) == (0, 0)


def test_store_that_is_away_is_told_in_time_and_used_again(tmp_path: Path) -> None:
    dynamo = DynamoServer()
    dynamo.start()
    try:
        settings = {**CREDENTIALS, **settings_of(own_tables(dynamo.endpoint)), "STORE_SECONDS": "1"}
        with IntakeProcess(tmp_path, settings) as server, server.connect() as session:
            order(session, 1)
            document = {"cliente": "Ana", "productos": ["pan"], "direccion": "x"}
            dynamo.process.send_signal(signal.SIGSTOP)
            try:
                assert session.ask(document)["error"] == "db_error"
                assert session.ask("health")["status"] == "degraded"
            finally:
                dynamo.process.send_signal(signal.SIGCONT)
            session.wait_until(json.dumps(document), "success", True)
            session.wait_until("stats", "stats.abiertos", 0)
    finally:
        dynamo.stop()


def test_what_nobody_waits_for_any_more_is_not_done(tmp_path: Path) -> None:
    server = DynamoServer()
    server.start()
    try:
        tables = settings_of(own_tables(server.endpoint))
        settings = {**CREDENTIALS, **tables, "STORE_SECONDS": "1", "SERVER_LEASE_SECONDS": "60"}
        with IntakeProcess(tmp_path, settings) as intake, intake.connect() as first, intake.connect() as second:
            order(first, 1)
            late = {"cliente": "late", "productos": ["pan"], "direccion": "x", "deadline_ms": 1, "request_id": "late"}
            patient = {**late, "cliente": "patient", "deadline_ms": 60_000, "request_id": "patient"}
            server.process.send_signal(signal.SIGSTOP)
            first.send(json.dumps({"cliente": "hung", "productos": ["pan"], "direccion": "x"}) + "\n")
            # Its turn has begun once another connection has been served.
            assert second.ask("ping")["pong"]
            second.send(f"{json.dumps(late)}\n{json.dumps(patient)}\n" + '{"action":"list","deadline_ms":1}\n')
            assert first.read()["error"] == "db_error"
            server.process.send_signal(signal.SIGCONT)
            refused, taken, listed = second.read(), second.read(), second.read()
            assert (refused["error"], refused["request_id"]) == ("deadline_exceeded", "late")
            assert taken["request_id"] == "patient"
            assert listed["error"] == "deadline_exceeded"
            found = second.ask({"action": "list", "cliente": "late"})
            assert found["pedidos"] == []
    finally:
        server.stop()
