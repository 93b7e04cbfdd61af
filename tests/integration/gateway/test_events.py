"""Events over HTTP: told once, in order, gone on with, and to whom they are for."""

import time
import uuid
from pathlib import Path

import pytest

from tests.integration.gateway.conftest import Suite
from tests.support.http import EventStream, Http
from tests.support.intake import LOOK_SECONDS, PATIENCE, DistributedProcess, GatewayProcess, IntakeProcess
from tests.support.orders import ORDER

OF_ORDERS = ("order.accepted", "order.started", "order.finished")


def placed(http: Http, customer: str) -> str:
    return str(http.post("/api/v1/orders", {**ORDER, "cliente": customer}).json["id"])


def streams(http: Http) -> float:
    """How many streams are open, as the gateway counts them."""
    text = http.get("/metrics").body.decode()
    (line,) = (line for line in text.splitlines() if line.startswith("comanda_http_event_streams{"))
    return float(line.rpartition(" ")[2])


def test_an_order_is_followed_to_its_end(suite: Suite, http: Http) -> None:
    customer = str(uuid.uuid4())
    with EventStream(suite.gateway, f"?cliente={customer}") as stream:
        order_id = placed(http, customer)
        told = stream.next(*OF_ORDERS)
    assert {event["id"] for event in told} == {order_id}
    assert [event["seq"] for event in told] == sorted({event["seq"] for event in told})


def test_a_client_has_its_share_of_streams(suite: Suite, tmp_path: Path) -> None:
    settings = {
        "TRUSTED_PROXIES": "127.0.0.1",
        "OPEN_INTERNAL_PORTS": "true",
        "MAX_EVENT_STREAMS_PER_ADDRESS": 1,
    }
    with GatewayProcess(tmp_path, [suite.intake, suite.persistence, suite.distributed], settings) as gateway:
        http = Http(gateway)
        client = {"X_Forwarded_For": "192.0.2.1"}
        with EventStream(gateway, **client):
            refused = http.get("/api/v1/events", **client)
            assert (refused.status, refused.problem["error"]) == (503, "unavailable")
            with EventStream(gateway, X_Forwarded_For="192.0.2.2"):
                assert http.get("/tasks", **client).status == 200
        # The place is free once the gateway has seen that the reader has gone.
        deadline = time.monotonic() + PATIENCE
        while streams(http) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        with EventStream(gateway, **client):
            pass


def test_an_order_alone_is_followed(suite: Suite, http: Http) -> None:
    wanted = placed(http, "Ana")
    with EventStream(suite.gateway, f"?id={wanted.upper()}&since=0") as stream:
        assert {event["id"] for event in stream.next(*OF_ORDERS)} == {wanted}


def test_who_comes_back_goes_on_where_they_were(suite: Suite, http: Http) -> None:
    customer = str(uuid.uuid4())
    with EventStream(suite.gateway, f"?cliente={customer}") as stream:
        placed(http, customer)
        seen = stream.next(*OF_ORDERS)
        missed = placed(http, customer)
        # What is told afterwards is known to have been told.
        stream.next(*OF_ORDERS)
        with EventStream(suite.gateway, f"?cliente={customer}", Last_Event_ID=str(seen[-1]["seq"])) as again:
            assert {event["id"] for event in again.next(*OF_ORDERS)} == {missed}
        with EventStream(suite.gateway, f"?cliente={customer}&since={seen[0]['seq']}") as again:
            assert [event["seq"] for event in again.next(*OF_ORDERS[1:])] == [event["seq"] for event in seen[1:]]


def test_another_gateway_goes_on_where_the_first_was(suite: Suite, http: Http, tmp_path: Path) -> None:
    customer = str(uuid.uuid4())
    placed(http, customer)
    with EventStream(suite.gateway, f"?cliente={customer}&since=0") as stream:
        (first, *_) = stream.next(*OF_ORDERS)
    servers = [suite.intake, suite.persistence, suite.distributed]
    with (
        GatewayProcess(tmp_path, servers) as other,
        EventStream(other, f"?cliente={customer}", Last_Event_ID=str(first["seq"])) as stream,
    ):
        stream.next(*OF_ORDERS[1:])
        after = placed(http, customer)
        assert {event["id"] for event in stream.next(*OF_ORDERS)} == {after}


def test_scores_are_told_to_their_user_alone(suite: Suite, http: Http) -> None:
    with EventStream(suite.gateway, "?topics=scores,notifications&user_id=31") as stream:
        http.post("/api/guardar_puntaje", {"user_id": 32, "puntaje": 1})
        http.post("/api/guardar_puntaje", {"user_id": 31, "puntaje": 2})
        told = stream.next("score.record", "notification.added")
    assert {event["user_id"] for event in told} == {31}


def test_stock_is_told_to_everybody(suite: Suite, http: Http) -> None:
    store = str(uuid.uuid4())
    alert = {"store": store, "item": "pan", "count": 1, "threshold": 5, "number": 1, "state": "open"}
    with (
        suite.persistence.connect() as records,
        EventStream(suite.gateway, "?topics=stock") as stream,
        EventStream(suite.gateway, "?topics=stock,notifications&user_id=1&since=0") as late,
    ):
        records.ask({"action": "put_item", "table": "StockAlerts", "item": alert})
        (low,) = stream.next("stock.low")
        assert (low["store"], low["count"]) == (store, 1)
        assert [one["event"] for one in late.next("stock.low", "notification.added")]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("topics=ordesr", "topics"),
        ("topics=records", "topics"),
        ("topics=", "topics"),
        ("topics=scores", "user_id"),
        ("since=-1", "since"),
        ("since=999999999", "since"),
    ],
)
def test_a_wrong_choice_is_told_by_field(http: Http, query: str, field: str) -> None:
    reply = http.get(f"/api/v1/events?{query}")
    assert reply.status == 422
    assert reply.problem["field"] == field


def test_a_stream_that_is_left_is_let_go(suite: Suite, http: Http) -> None:
    with EventStream(suite.gateway):
        before = streams(http)
        assert before >= 1
    deadline = time.monotonic() + PATIENCE
    while streams(http) >= before:
        assert time.monotonic() < deadline
        time.sleep(LOOK_SECONDS)


def test_streams_are_bounded(suite: Suite, tmp_path: Path) -> None:
    servers = [suite.intake, suite.persistence, suite.distributed]
    with GatewayProcess(tmp_path, servers, {"MAX_EVENT_STREAMS": 1}) as gateway, EventStream(gateway):
        reply = Http(gateway).get("/api/v1/events")
        assert reply.status == 503
        assert reply.headers["retry-after"]


def test_streams_end_with_the_gateway(suite: Suite, tmp_path: Path) -> None:
    servers = [suite.intake, suite.persistence, suite.distributed]
    with GatewayProcess(tmp_path, servers) as gateway, EventStream(gateway) as stream:
        assert gateway.terminate() == 0
        assert list(stream.events()) == []


def test_events_are_away_with_the_distributed_service_and_come_back(tmp_path: Path) -> None:
    with IntakeProcess(tmp_path) as intake:
        distributed = DistributedProcess(tmp_path)
        with GatewayProcess(tmp_path, [intake, distributed]) as gateway:
            http = Http(gateway)
            reply = http.get("/api/v1/events")
            assert reply.status == 503
            assert reply.problem["error"] == "unavailable"
            with distributed, EventStream(gateway) as stream:
                placed(http, "Ana")
                stream.next(*OF_ORDERS)
                distributed.kill()
                missed = placed(http, "Eva")
                distributed.start()
                assert {event["id"] for event in stream.next(*OF_ORDERS)} == {missed}


def test_a_listener_that_reads_the_log_does_not_hold_up_the_stop(suite: Suite) -> None:
    # So long that it would not be waited for here.
    settings = {"SHUTDOWN_SECONDS": 10 * PATIENCE}
    servers = [suite.intake, suite.persistence, suite.distributed]
    with suite.intake.connect() as session:
        session.ask('{"cliente":"a","productos":["x"],"direccion":"d"}')
    with (
        GatewayProcess(suite.intake.data_dir, servers, settings) as gateway,
        EventStream(gateway, "?since=0") as stream,
    ):
        stream.next("order.accepted")
        assert gateway.terminate() == 0
