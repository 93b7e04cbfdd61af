"""What becomes of orders in real worker processes, with handlers that fail in every way."""

import datetime
import json
import re
from pathlib import Path

import pytest

from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.order_indexer import unindexed_orders
from tests.chaos.load import Load
from tests.support.intake import IntakeProcess, Session
from tests.support.waiting import until

FUSSY = "tests.support.kitchens:fussy"


def place(session: Session, customer: str, **members: object) -> str:
    """Places an order; gives its id."""
    answer = session.ask({"cliente": customer, "productos": ["x"], "direccion": "d", **members})
    order_id = answer["id"]
    assert isinstance(order_id, str)
    return order_id


@pytest.mark.intake(ORDER_HANDLER=FUSSY, MAX_ATTEMPTS=3, RETRY_SECONDS=0.01)
def test_order_that_keeps_failing_ends_fallido_and_can_be_tried_again(session: Session) -> None:
    order_id = place(session, "fails")
    order = session.wait_until(f"status {order_id}", "pedido.estado", "fallido")["pedido"]
    assert (order["intentos"], order["detalle"]) == (3, "RuntimeError: no flour")
    session.wait_until("stats", "stats.pedidos.fallido", 1)
    assert session.ask(f"retry {order_id}")["estado"] == "en cola"
    assert session.wait_until(f"status {order_id}", "pedido.intentos", 4)
    session.wait_until(f"status {order_id}", "pedido.estado", "fallido")
    stats = session.wait_until("stats", "stats.abiertos", 0)["stats"]
    assert stats["pedidos"]["fallido"] == stats["aceptados"] == 1


@pytest.mark.intake(ORDER_HANDLER=FUSSY, MAX_ATTEMPTS=3, RETRY_SECONDS=0.01, ATTEMPTS_KEPT=3)
def test_every_failed_attempt_is_told_with_its_place_and_traceback(intake: IntakeProcess, session: Session) -> None:
    order_id = place(session, "fails")
    session.wait_until(f"status {order_id}", "pedido.estado", "fallido")
    story = session.ask(f"explain {order_id}")
    assert [failed["intento"] for failed in story["errores"]] == [1, 2, 3]
    for failed in story["errores"]:
        assert failed["detalle"] == "RuntimeError: no flour"
        assert re.fullmatch(r"tests/support/kitchens\.py:\d+ fussy", failed["lugar"])
        assert 'raise RuntimeError("no flour")' in failed["traza"]
    assert session.ask(f"retry {order_id}")["success"]
    session.wait_until(f"explain {order_id}", "intento", 4)
    session.wait_until(f"status {order_id}", "pedido.estado", "fallido")
    assert [failed["intento"] for failed in session.ask(f"explain {order_id}")["errores"]] == [2, 3, 4]
    last = intake.wait_for_log("attempt_failed", 4)
    assert (last["order"], last["attempt"], last["error"]) == (order_id, 4, "RuntimeError: no flour")
    assert last["place"] in last["exception"]
    assert last["retry_in_s"] is None
    assert intake.wait_for_log("attempt_failed", 1)["retry_in_s"] > 0
    fine = place(session, "fine")
    session.wait_until(f"status {fine}", "pedido.estado", "listo")
    assert "errores" not in session.ask(f"explain {fine}")


@pytest.mark.intake(ORDER_HANDLER=FUSSY, MAX_ATTEMPTS=1)
def test_order_that_failed_can_be_discarded_once(session: Session) -> None:
    order_id, other = place(session, "fails"), place(session, "fails")
    session.wait_until("stats", "stats.pedidos.fallido", 2)
    assert session.ask(f"cancel {order_id}")["success"]
    stats = session.ask("stats")["stats"]
    assert (stats["abiertos"], stats["pedidos"]["fallido"], stats["pedidos"]["cancelado"]) == (0, 1, 1)
    order = session.ask(f"status {order_id}")["pedido"]
    assert (order["estado"], order["detalle"]) == ("cancelado", "RuntimeError: no flour")
    for verb in ("cancel", "retry"):
        refused = session.ask(f"{verb} {order_id}")
        assert (refused["error"], refused["estado"]) == ("conflict", "cancelado")
    assert session.ask(f"retry {other}")["estado"] == "en cola"


@pytest.mark.intake(ORDER_HANDLER=FUSSY, RETRY_SECONDS=0.01)
def test_failed_attempt_is_followed_by_another(session: Session) -> None:
    order_id = place(session, "fails once")
    assert session.wait_until(f"status {order_id}", "pedido.estado", "listo")["pedido"]["intentos"] == 2


@pytest.mark.intake(ORDER_HANDLER=FUSSY)
def test_rejected_order_is_not_tried_again_and_blocks_nobody(session: Session) -> None:
    rejected, fine = place(session, "rejected"), place(session, "fine")
    order = session.wait_until(f"status {rejected}", "pedido.estado", "fallido")["pedido"]
    assert (order["intentos"], order["detalle"]) == (1, "not in this house")
    session.wait_until(f"status {fine}", "pedido.estado", "listo")


@pytest.mark.intake(ORDER_HANDLER=FUSSY, ORDER_TIMEOUT_SECONDS=0.2, LEASE_SECONDS=0.4, MAX_ATTEMPTS=1)
def test_order_that_never_ends_is_ended(session: Session) -> None:
    order = session.wait_until(f"status {place(session, 'never ends')}", "pedido.estado", "fallido")["pedido"]
    assert order["detalle"] == "not finished within 0.2 s"


@pytest.mark.intake(ORDER_HANDLER=FUSSY, MAX_RESCUES=5, WORKER_COUNT=1, WORKER_CONCURRENCY=4)
def test_order_that_kills_its_workers_ends_fallido_and_the_rest_is_done(session: Session) -> None:
    killer, fine = place(session, "kills"), place(session, "fine")
    order = session.wait_until(f"status {killer}", "pedido.estado", "fallido")["pedido"]
    assert "died" in order["detalle"]
    session.wait_until(f"status {fine}", "pedido.estado", "listo")
    session.wait_until("stats", "stats.abiertos", 0)


@pytest.mark.intake(ORDER_HANDLER=FUSSY, MAX_RESCUES=3, WORKER_CONCURRENCY=4, MAX_PEDIDOS_EN_COLA=2000)
def test_suspect_gets_its_turn_while_there_is_always_other_work(
    intake: IntakeProcess, session: Session, tmp_path: Path
) -> None:
    killer = place(session, "kills")
    with Load(intake.port, tmp_path / "clients") as load:
        session.wait_until(f"status {killer}", "pedido.estado", "fallido")
        load.wait_for(500)
    with intake.connect() as again:
        assert again.wait_until("stats", "stats.abiertos", 0)["stats"]["pedidos"]["fallido"] == 1


@pytest.mark.intake(ORDER_HANDLER=FUSSY, LEASE_SECONDS=0.5, WORKER_COUNT=1)
def test_handler_that_blocks_its_worker_costs_a_lease_and_no_order(session: Session) -> None:
    order = session.wait_until(f"status {place(session, 'blocks once')}", "pedido.estado", "listo")["pedido"]
    assert order["intentos"] == 2


def test_plain_function_is_a_handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATES", str(tmp_path))
    with (
        IntakeProcess(tmp_path / "data", {"ORDER_HANDLER": "tests.support.kitchens:plain"}) as intake,
        intake.connect() as session,
    ):
        order_id = place(session, "a")
        session.wait_until(f"status {order_id}", "pedido.estado", "listo")
    assert (tmp_path / order_id).exists()


def test_handler_is_closed_before_its_worker_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATES", str(tmp_path))
    with (
        IntakeProcess(tmp_path / "data", {"ORDER_HANDLER": "tests.support.kitchens:Tidy"}) as intake,
        intake.connect() as session,
    ):
        session.wait_until(f"status {place(session, 'a')}", "pedido.estado", "listo")
    # One of the two workers had the order.
    assert (tmp_path / "closed after 1").exists()
    assert (tmp_path / "closed after 0").exists()


@pytest.mark.intake(WORKER_COUNT=1, WORKER_CONCURRENCY=1, PROCESSING_SECONDS=600, SHUTDOWN_SECONDS=1)
def test_waiting_order_can_be_cancelled_and_a_running_one_cannot(session: Session) -> None:
    running = place(session, "a")
    session.wait_until(f"status {running}", "pedido.estado", "en proceso")
    waiting = place(session, "b")
    assert session.ask(f"cancel {waiting}")["estado"] == "cancelado"
    refused = session.ask(f"cancel {running}")
    assert (refused["error"], refused["estado"]) == ("conflict", "en proceso")
    assert session.ask(f"cancel {waiting}")["error"] == "conflict"
    stats = session.ask("stats")["stats"]
    assert (stats["abiertos"], stats["pedidos"]["cancelado"]) == (1, 1)


@pytest.mark.intake(WORKER_COUNT=1, WORKER_CONCURRENCY=1)
def test_order_for_later_waits_and_one_for_the_past_does_not(session: Session) -> None:
    later = place(session, "a", no_antes_de="2100-01-01T00:00:00Z")
    past = place(session, "b", no_antes_de="2020-01-01T00:00:00Z")
    session.wait_until(f"status {past}", "pedido.estado", "listo")
    assert session.ask(f"status {later}")["pedido"]["estado"] == "en cola"
    assert session.ask(f"cancel {later}")["estado"] == "cancelado"


def test_status_of_nothing_is_not_found(session: Session) -> None:
    assert session.ask("status 019aaf64-53c1-7d0e-8b2a-00000000002a")["error"] == "not_found"
    assert session.ask({"action": "retry", "id": "x", "request_id": 5}) == session.ask(
        {"action": "retry", "id": "x", "request_id": 5}
    )


def test_priorities_and_products_come_back_as_they_were_sent(intake: IntakeProcess, session: Session) -> None:
    products = ["pan", {"producto": "agua", "cantidad": 2, "precio": 0.8}]
    order_id = place(session, "ñandú ☂", productos=products, prioridad="baja", request_id="r-1")
    order = session.ask(f"status {order_id}")["pedido"]
    assert (order["cliente"], order["productos"]) == ("ñandú ☂", products)
    assert (order["prioridad"], order["request_id"]) == ("baja", "r-1")


def test_order_for_later_is_told_how_long_it_waits_at_least(session: Session) -> None:
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    answer = session.ask({"cliente": "a", "productos": ["x"], "direccion": "d", "no_antes_de": soon.isoformat()})
    assert 3_000_000 < answer["espera_ms"] <= 3_600_000


@pytest.mark.intake(DISK_RESERVE_MIB=1_000_000_000)
def test_health_tells_why_orders_are_refused(session: Session) -> None:
    assert session.ask("health")["store"] == "ok"
    assert session.ask({"cliente": "a", "productos": ["x"], "direccion": "d"})["error"] == "db_error"
    health = session.ask("health")
    assert health["status"] == "degraded"
    assert "nearly full" in health["store"]


@pytest.mark.intake(PROCESSING_SECONDS=0, MAX_PEDIDOS_EN_COLA=20_000)
def test_many_orders_are_indexed_beside_their_acceptance(intake: IntakeProcess, session: Session) -> None:
    orders = [{"cliente": f"Cliente {number % 100}", "productos": ["x"], "direccion": "d"} for number in range(1000)]
    for _ in range(9):
        assert all(answer["success"] for answer in session.ask(json.dumps(orders)))
    files = StoreFiles(intake.data_dir / "orders.db")
    until(lambda: unindexed_orders(files), lambda left: left < 4096)
    page = session.ask('list cliente="CLIENTE  7" limite=1000')
    assert [order["cliente"] for order in page["pedidos"]] == ["Cliente 7"] * 90
    assert page["cursor"] is None
    session.wait_until("stats", "stats.abiertos", 0)
    assert session.ask("list en_proceso")["pedidos"] == session.ask("list en_cola")["pedidos"] == []
