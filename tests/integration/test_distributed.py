"""The distributed service over real sockets: statistics, notifications and events, in step with the other servers."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from clients.services import DistributedServiceClient, PersistenceServiceClient
from services.distributed.pickled import REQUEST
from shared.serialization.serializer import serialize
from shared.serialization.signed_pickles import Pickles
from tests.support.intake import LOOK_SECONDS, PATIENCE, DistributedProcess, IntakeProcess, PersistenceProcess, Session

ORDER = {"cliente": "Ana", "productos": ["pan", {"producto": "agua", "cantidad": 3}], "direccion": "Mayor 1"}


@pytest.fixture
def distributed(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[DistributedProcess]:
    """A running distributed service; `@pytest.mark.distributed(NAME=value)` gives it settings."""
    marker = request.node.get_closest_marker("distributed")
    process = DistributedProcess(tmp_path / "data", marker.kwargs if marker else None)
    with process:
        yield process
    process.kill_if_alive()


@pytest.fixture
def service(distributed: DistributedProcess) -> Iterator[Session]:
    """A connection to it."""
    with distributed.connect() as connection:
        yield connection


def events(session: Session, *names: str) -> list[Any]:
    """The next events, which have to have these names."""
    found = [session.read() for _ in names]
    assert [one.get("event") for one in found] == list(names)
    return found


def orders_of(session: Session) -> Any:
    return session.ask("get_global_stats")["stats"]["pedidos"]


def save(session: Session, user: int, score: int) -> None:
    assert session.ask({"action": "save_score", "user_id": user, "puntaje": score})["success"]


# The first minute.


def test_service_answers_before_anything_else_is_there(service: Session) -> None:
    assert service.ask("ping") == {"success": True, "pong": True}
    health = service.ask("health")
    assert health["relay"] == {"orders": "not there yet", "records": "not there yet"}
    stats = service.ask("stats")["stats"]
    assert (stats["total_usuarios"], stats["ranking"], stats["pedidos"]["aceptados"]) == (0, [], 0)
    assert (stats["puntaje_maximo"], stats["puntaje_maximo_global"]) == (None, 0)
    assert service.ask("get_user_stats 7")["error"] == "not_found"
    assert "subscribe" in "\n".join(service.ask({"action": "help"})["help"])
    assert "To begin:" in service.read_help()
    assert service.ask("quit")["bye"] is True
    assert service.at_end()


def test_scores_become_statistics_ranking_notifications_and_events(service: Session, records: Session) -> None:
    assert service.ask("subscribe scores,notifications") == {
        "success": True,
        "topics": ["notifications", "scores"],
        "since": 0,
    }
    save(records, 1, 100)
    record, told = events(service, "score.record", "notification.added")
    assert (record["user_id"], record["puntaje_maximo"], record["anterior"]) == (1, 100, None)
    assert (told["user_id"], told["type"]) == (1, "success")
    save(records, 1, 40)
    events(service, "score.saved")
    save(records, 2, 300)
    assert events(service, "score.record", "notification.added")[0]["user_id"] == 2
    records.ask({"action": "put_item", "table": "Users", "item": {"user_id": 1, "nombre": "Ana", "email": "a@b.es"}})
    service.wait_until("get_user_stats 1", "stats.nombre", "Ana")
    one = service.ask("get_user_stats 1")["stats"]
    assert "20" < one.pop("fecha_registro") < one.pop("fecha_ultimo_juego")
    assert one == {
        "user_id": 1,
        "nombre": "Ana",
        "email": "a@b.es",
        "puntaje_maximo": 100,
        "partidas": 2,
        "posicion": 2,
    }
    stats = service.ask("get_global_stats")["stats"]
    assert (stats["total_usuarios"], stats["usuarios_activos"], stats["puntaje_promedio"]) == (2, 2, 200.0)
    assert (stats["puntaje_maximo_global"], stats["puntaje_maximo"]) == (300, 300)
    assert abs(datetime.fromisoformat(stats["timestamp"]).timestamp() - time.time()) < PATIENCE
    assert [(row["posicion"], row["user_id"]) for row in stats["ranking"]] == [(1, 2), (2, 1)]
    (notification,) = service.ask("notifications 1")["notifications"]
    assert (notification["leida"], notification["message"]) == (False, "New record: 100")


def test_orders_become_counts_times_products_and_events(service: Session, session: Session) -> None:
    service.ask("subscribe orders")
    order = session.ask(ORDER)["id"]
    found = events(service, "order.accepted", "order.started", "order.finished")
    assert {(one["id"], one["cliente"]) for one in found} == {(order, "Ana")}
    assert [one["seq"] for one in found] == [1, 2, 3]
    orders = orders_of(service)
    assert orders["aceptados"] == orders["por_estado"]["listo"] == 1
    assert orders["por_minuto"][0]["terminados"] == 1
    assert orders["espera_ms"]["p95"] is not None
    assert {row["producto"]: row["unidades"] for row in orders["productos"]} == {"pan": 1, "agua": 3}


# Stock.


@pytest.mark.distributed(MAX_UNREAD_BYTES=4096)
def test_slow_observer_is_told_what_it_missed_and_nobody_waits(
    service: Session, distributed: DistributedProcess
) -> None:
    added = json.dumps({"action": "add_notification", "user_id": 1, "message": "x" * 1000}) + "\n"
    read_it = threading.Event()

    def pump() -> None:
        while not read_it.is_set():
            service.send(added * 100)
            for _ in range(100):
                assert service.read()["success"]

    with distributed.connect() as slow, ThreadPoolExecutor(1) as pool:
        slow.ask("subscribe notifications")
        pumping = pool.submit(pump)
        try:
            # More than all buffers between it and the service can hold.
            with distributed.connect() as other:
                while other.ask("health")["eventos"] < 15_000:
                    time.sleep(LOOK_SECONDS)
            last = 0
            while (event := slow.read())["event"] != "gap":
                assert event["seq"] == last + 1
                last = event["seq"]
            assert slow.read()["seq"] == last + event["missed"] + 1
        finally:
            read_it.set()
        pumping.result()


# Being away.


def audit(intake: IntakeProcess, distributed: DistributedProcess) -> tuple[int, list[Any]]:
    """Runs `audit`: its exit status and what it tells."""
    environ = {
        **os.environ,
        "ENV_FILE": "/dev/null",
        "SERVER_PORT": str(intake.port),
        "DISTRIBUTED_PORT": str(distributed.port),
    }
    words = [sys.executable, "-m", "clients", "audit", "--wait", "30"]
    ended = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return ended.returncode, [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.mark.intake(ORDER_HANDLER="tests.support.kitchens:fussy", MAX_ATTEMPTS=2, RETRY_SECONDS=0.01)
def test_counts_are_equal_whoever_is_killed_when(intake: IntakeProcess, distributed: DistributedProcess) -> None:
    orders = [json.dumps({**ORDER, "cliente": name}) for name in ("Ana", "Zoe") for _ in range(100)]
    batch = "[" + ",".join(orders) + "]\n"
    sent = 0
    for round_ in range(6):
        with intake.connect() as session:
            for _ in range(3):
                session.send(batch)
                assert all(answer["success"] for answer in session.read())
                sent += len(orders)
        if round_ % 3 == 0:
            distributed.kill()
            distributed.start()
        elif round_ % 3 == 1:
            intake.kill()
            intake.start()
    with intake.connect() as session:
        session.wait_until("stats", "stats.abiertos", 0)
    status, (found, *_) = audit(intake, distributed)
    assert (status, found["sound"]) == (0, True), found
    assert found["distributed"]["aceptados"] == sent


@pytest.mark.intake(ORDER_HANDLER="tests.support.kitchens:fussy", MAX_ATTEMPTS=1)
def test_discarded_order_is_told_of_and_counted_once(
    intake: IntakeProcess, distributed: DistributedProcess, service: Session, session: Session
) -> None:
    service.ask("subscribe orders")
    order = session.ask({**ORDER, "cliente": "fails"})["id"]
    events(service, "order.accepted", "order.started", "order.failed")
    session.wait_until("stats", "stats.pedidos.fallido", 1)
    assert session.ask(f"cancel {order}")["estado"] == "cancelado"
    (cancelled,) = events(service, "order.cancelled")
    assert (cancelled["id"], cancelled["estado"]) == (order, "cancelado")
    status, (found, *_) = audit(intake, distributed)
    assert (status, found["sound"]) == (0, True), found
    assert (found["distributed"]["fallido"], found["distributed"]["cancelado"]) == (0, 1)


def test_what_happened_meanwhile_is_caught_up_with_and_told_to_observers(
    intake: IntakeProcess, distributed: DistributedProcess, records: Session, session: Session
) -> None:
    with distributed.connect() as service:
        save(records, 1, 10)
        service.wait_until("health", "eventos", 2)
    distributed.terminate()
    save(records, 1, 20)
    order = session.ask(ORDER)["id"]
    session.wait_until(f"status {order}", "pedido.estado", "listo")
    distributed.start()
    with distributed.connect() as service:
        service.ask({"action": "subscribe", "topics": ["orders", "scores"], "since": 2})
        found = [service.read() for _ in range(4)]
        assert {one["event"] for one in found} == {"order.accepted", "order.started", "order.finished", "score.record"}
        assert service.ask("get_user_stats 1")["stats"]["partidas"] == 2
        assert len(service.ask("notifications 1")["notifications"]) == 2


def test_audit_names_orders_that_differ(intake: IntakeProcess, distributed: DistributedProcess) -> None:
    with intake.connect() as session, distributed.connect() as service:
        order = session.ask(ORDER)["id"]
        service.wait_until("health", "eventos", 3)
    distributed.terminate()
    tamper(distributed.data_dir / "distributed.db", "UPDATE counts SET value = 5 WHERE name = 'listo'")
    tamper(distributed.data_dir / "distributed.db", "DELETE FROM log WHERE number = 3")
    distributed.start()
    environ = {**os.environ, "ENV_FILE": "/dev/null", "SERVER_PORT": str(intake.port)}
    environ["DISTRIBUTED_PORT"] = str(distributed.port)
    words = [sys.executable, "-m", "clients", "audit", "--wait", "0"]
    with distributed.connect() as service:
        service.ask({"action": "add_notification", "user_id": 1, "message": "the last event"})
    ended = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (ended.returncode, found[0]["sound"]) == (1, False)
    assert (found[1]["id"], found[1]["intake"], found[1]["distributed"]) == (order, "listo", "en proceso")


def tamper(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize("persistence_first", [True, False])
def test_order_of_starting_does_not_matter(
    tmp_path: Path, distributed: DistributedProcess, persistence_first: bool
) -> None:
    if persistence_first:
        distributed.terminate()
    persistence = PersistenceProcess(distributed.data_dir)
    with persistence, persistence.connect() as records:
        save(records, 1, 10)
        if persistence_first:
            distributed.start()
        with distributed.connect() as service:
            service.wait_until("stats", "stats.total_usuarios", 1)
            assert len(service.ask("notifications 1")["notifications"]) == 1


def test_scores_are_read_anew_where_their_changes_are_gone(
    persistence: PersistenceProcess, distributed: DistributedProcess, records: Session
) -> None:
    distributed.terminate()
    for user in range(3):
        save(records, user, user * 10)
    persistence.terminate()
    tamper(persistence.data_dir / "records.db", "DELETE FROM changes WHERE sequence < 3")
    tamper(persistence.data_dir / "records.db", "INSERT INTO meta VALUES ('forgotten', 2)")
    persistence.start()
    distributed.start()
    with distributed.connect() as service:
        service.wait_until("stats", "stats.total_usuarios", 3)
        assert service.ask("get_user_stats 0")["stats"]["posicion"] == 3
        assert service.ask("health")["eventos"] == 0


# Clients that do not raise.


def test_clients_tell_of_a_service_that_is_away(
    distributed: DistributedProcess, persistence: PersistenceProcess
) -> None:
    scores = PersistenceServiceClient("127.0.0.1", persistence.port)
    service = DistributedServiceClient("127.0.0.1", distributed.port, timeout=2)
    with scores, service:
        ok, reply = scores.save_score_via_tcp(user_id=1, puntaje=10)
        assert (ok, reply["nuevo_record"]) == (True, True)
        assert service.ping()[0]
        service.add_notification(user_id=2, message="first")
        ok, reply = service.add_notification(user_id=1, message="hola", notif_type="warning")
        assert (ok, reply["message"]) == (True, "Notification added")
        for user, wanted in ((None, ["first", "hola"]), (1, ["hola"])):
            ok, reply = service.get_notifications(user)
            assert [one["message"] for one in reply["notifications"] if one["type"] != "success"] == wanted
        ok, reply = service.add_notification(user_id=1, message="hola", notif_type="loud")
        assert (ok, reply["error"]) == (False, "invalid_params")
        ok, reply = service.get_user_stats(user_id=99)
        assert (ok, reply["error"]) == (False, "not_found")
        distributed.terminate()
        ok, reply = service.get_global_stats()
        assert (ok, reply["success"]) == (False, False)
        assert reply["error"] in ("unreachable", "connection_lost", "answer_timeout")
        assert scores.save_score_via_tcp(user_id=1, puntaje=20)[0]


# Pickles.

KEY = "a key of the tests, long enough to be one"


def pickled(members: dict[str, Any], *, key: str = KEY, purpose: str = REQUEST) -> dict[str, Any]:
    """A request in a signed pickle."""
    made = Pickles(key.encode(), purpose=purpose, sender="test")
    return {"encoding": "pickle", "payload": serialize(members, "pickle_base64", pickles=made)}


@pytest.mark.distributed(PICKLE_KEY=KEY)
@pytest.mark.parametrize(
    "members", [{"action": "add_notification", "user_id": 1, "message": "hola"}, {"action": "ping"}]
)
def test_pickle_that_was_read_is_refused_after_a_restart(
    distributed: DistributedProcess, members: dict[str, Any]
) -> None:
    once, other = pickled(members), pickled({"action": "ping"})
    with distributed.connect() as service:
        assert service.ask(once)["success"]
    distributed.kill()
    distributed.start()
    with distributed.connect() as service:
        assert service.ask(once)["error"] == "unauthorized"
        # One that nobody has read is as good as before.
        assert service.ask(other)["success"]
        assert service.ask("notifications 1")["no_leidas"] == int(members["action"] == "add_notification")
