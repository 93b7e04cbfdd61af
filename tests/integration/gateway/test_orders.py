"""Orders over HTTP."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.integration.gateway.conftest import Suite
from tests.support.http import Http

ORDERS = "/api/v1/orders"
ORDER = {
    "cliente": "Ana",
    "productos": ["pan", {"producto": "agua", "cantidad": 3, "precio": 1.25}],
    "direccion": "C/ 1",
}
LATER = {**ORDER, "no_antes_de": "2099-01-01T00:00:00Z"}


def placed(http: Http, order: Any = ORDER) -> str:
    reply = http.post(ORDERS, order)
    assert reply.status == 201, reply
    return str(reply.json["id"])


def test_an_order_is_placed_and_found(http: Http) -> None:
    reply = http.post(ORDERS, ORDER)
    assert reply.status == 201
    assert reply.json["estado"] == "en cola"
    found = http.get(reply.headers["location"])
    assert found.status == 200
    assert found.json["id"] == reply.json["id"]
    assert found.json["productos"] == ORDER["productos"]
    assert found.headers["etag"]


def test_what_is_answered_is_with_the_intake(suite: Suite, http: Http) -> None:
    order_id = placed(http)
    with suite.intake.connect() as session:
        assert session.ask(f"status {order_id}")["pedido"]["cliente"] == "Ana"


def test_many_clients_at_the_same_time_lose_nothing(http: Http) -> None:
    customer = str(uuid.uuid4())
    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(lambda _: placed(http, {**ORDER, "cliente": customer}), range(200)))
    listed = http.get(f"{ORDERS}?cliente={customer}&limite=1000").json["pedidos"]
    assert {order["id"] for order in listed} == set(ids)
    assert len(ids) == len(set(ids))
