"""Orders over HTTP, in this process."""

import json
import uuid
from typing import Any

import pytest

from tests.support.in_process import Suite
from tests.support.in_process_http import InProcessHttp

ORDERS = "/api/v1/orders"
ORDER = {
    "cliente": "Ana",
    "productos": ["pan", {"producto": "agua", "cantidad": 3, "precio": 1.25}],
    "direccion": "C/ 1",
}
LATER = {**ORDER, "no_antes_de": "2099-01-01T00:00:00Z"}


async def placed(http: InProcessHttp, order: Any = ORDER) -> str:
    reply = await http.post(ORDERS, order)
    assert reply.status == 201, reply
    return str(reply.json["id"])


async def test_the_same_key_stands_for_the_same_order(http: InProcessHttp) -> None:
    key = str(uuid.uuid4())
    first = await http.post(ORDERS, ORDER, Idempotency_Key=key)
    again = await http.post(ORDERS, ORDER, Idempotency_Key=key)
    assert (first.status, again.status) == (201, 200)
    assert again.json["id"] == first.json["id"]
    assert again.json["duplicate"]
    other = await http.post(ORDERS, {**ORDER, "cliente": "Eva"}, Idempotency_Key=key)
    assert other.status == 409
    assert other.problem["error"] == "conflict"


async def test_a_key_beside_another_request_id_is_refused(http: InProcessHttp) -> None:
    reply = await http.post(ORDERS, {**ORDER, "request_id": "other"}, Idempotency_Key="mine")
    assert reply.status == 422
    assert reply.problem["field"] == "request_id"


async def test_many_orders_have_their_own_outcomes(http: InProcessHttp) -> None:
    key = str(uuid.uuid4())
    reply = await http.post(ORDERS, [ORDER, {**ORDER, "cliente": "Eva"}], Idempotency_Key=key)
    assert reply.status == 207
    ids = [one["accepted"]["id"] for one in reply.json["resultados"]]
    assert len(set(ids)) == 2
    again = (await http.post(ORDERS, [ORDER, {**ORDER, "cliente": "Ada"}], Idempotency_Key=key)).json["resultados"]
    assert again[0]["accepted"]["id"] == ids[0]
    assert again[1]["problem"]["error"] == "conflict"


async def test_many_orders_are_more_than_one_document_of_the_intake(http: InProcessHttp) -> None:
    orders = [{**ORDER, "direccion": f"{number:0400}"} for number in range(1000)]
    outcomes = (await http.post(ORDERS, orders)).json["resultados"]
    assert len({outcome["accepted"]["id"] for outcome in outcomes}) == 1000


async def test_too_many_orders_are_refused_as_a_whole(http: InProcessHttp) -> None:
    for many in ([ORDER] * 1001, [1] * 300_000):
        reply = await http.post(ORDERS, many)
        assert reply.status == 413
        assert "MAX_ARRAY_ORDERS=1000" in reply.problem["hint"]
    assert (await http.post(ORDERS, [])).problem["error"] == "invalid_params"


async def test_wrong_orders_among_many_cost_themselves_alone(http: InProcessHttp) -> None:
    customer = str(uuid.uuid4())
    good, wrong = {**ORDER, "cliente": customer}, {**ORDER, "cliente": ""}
    # json.dumps writes no such number.
    priced = json.dumps({**ORDER, "productos": [{"producto": "pan", "precio": 7}]}).replace("7", "1e400")
    keyed = {**good, "request_id": "of its own"}
    body = "[" + ",".join([json.dumps(good), json.dumps(wrong), priced, json.dumps(keyed), json.dumps(good)]) + "]"
    reply = await http.ask(
        "POST",
        ORDERS,
        body.encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": customer},
    )
    assert reply.status == 207
    first, *problems, last = reply.json["resultados"]
    assert [(one["problem"]["error"], one["problem"]["status"], one["problem"]["field"]) for one in problems] == [
        ("invalid_params", 422, "cliente"),
        ("invalid_params", 422, "productos[0].precio"),
        ("invalid_params", 422, "request_id"),
    ]
    stored = (await http.get(f"{ORDERS}?cliente={customer}")).json["pedidos"]
    assert {one["id"] for one in stored} == {first["accepted"]["id"], last["accepted"]["id"]}


async def test_array_of_wrong_orders_alone_needs_no_intake(http: InProcessHttp) -> None:
    reply = await http.post(ORDERS, [1, {}])
    assert reply.status == 207
    assert ["problem" in one for one in reply.json["resultados"]] == [True, True]


async def test_pages_of_orders_lead_to_all_of_them(http: InProcessHttp) -> None:
    customer = str(uuid.uuid4())
    ids = [await placed(http, {**ORDER, "cliente": customer}) for _ in range(5)]
    found: list[str] = []
    cursor = ""
    while True:
        page = (await http.get(f"{ORDERS}?cliente={customer}&limite=2{cursor}")).json
        found += [order["id"] for order in page["pedidos"]]
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
    assert found == ids[::-1]


async def test_orders_are_listed_by_state_and_time(http: InProcessHttp) -> None:
    customer = str(uuid.uuid4())
    waiting = await placed(http, {**LATER, "cliente": customer})
    query = f"{ORDERS}?cliente={customer}&estado=en+cola&desde=2020-01-01T00:00:00Z"
    assert [order["id"] for order in (await http.get(query)).json["pedidos"]] == [waiting]
    assert (await http.get(f"{query}&hasta=2020-01-02T00:00:00Z")).json["pedidos"] == []


async def test_an_order_that_waits_can_be_cancelled_once(http: InProcessHttp) -> None:
    order_id = await placed(http, LATER)
    assert (await http.ask("DELETE", f"{ORDERS}/{order_id}")).json == {"estado": "cancelado"}
    again = await http.ask("DELETE", f"{ORDERS}/{order_id}")
    assert again.status == 409
    assert again.problem["error"] == "conflict"


async def test_a_failed_order_is_discarded_once(suite: Suite) -> None:
    await suite.start_intake(order_handler="tests.support.kitchens:fussy", max_attempts=1)
    http = InProcessHttp(await suite.start_gateway())
    path = f"{ORDERS}/{await placed(http, {**ORDER, 'cliente': 'fails'})}"
    async with suite.connect("server_port") as session:
        await session.wait_until("stats", "stats.pedidos.fallido", 1)
    etag = (await http.get(path)).headers["etag"]
    discarded = await http.ask("DELETE", path, headers={"If-Match": etag})
    assert (discarded.status, discarded.json) == (200, {"estado": "cancelado"})
    again = await http.ask("DELETE", path)
    assert (again.status, again.problem["error"]) == (409, "conflict")
    assert "fallido" in again.problem["hint"]


async def test_numbers_are_the_intakes_own(suite: Suite, http: InProcessHttp) -> None:
    await placed(http, LATER)
    told = await http.get("/api/v1/stats")
    async with suite.connect("server_port") as session:
        stats = (await session.ask("stats"))["stats"]
    assert told.status == 200
    assert list(told.json) == list(stats)
    for name in ("limite", "aceptados"):
        assert told.json[name] == stats[name]
    assert told.json["pedidos"].keys() == stats["pedidos"].keys()
    assert [worker["id"] for worker in told.json["workers"]] == [worker["id"] for worker in stats["workers"]]


async def test_only_a_failed_order_can_be_tried_again(http: InProcessHttp) -> None:
    order_id = await placed(http, LATER)
    reply = await http.post(f"{ORDERS}/{order_id}/retry")
    assert reply.status == 409
    assert "fallido" in reply.problem["detail"]


async def test_an_etag_saves_sending_and_guards_against_surprise(http: InProcessHttp) -> None:
    order_id = await placed(http, LATER)
    etag = (await http.get(f"{ORDERS}/{order_id}")).headers["etag"]
    same = await http.get(f"{ORDERS}/{order_id}", If_None_Match=etag)
    assert (same.status, same.body, same.headers["etag"]) == (304, b"", etag)
    surprised = await http.ask("DELETE", f"{ORDERS}/{order_id}", headers={"If-Match": '"older"'})
    assert surprised.status == 412
    assert surprised.problem["error"] == "precondition_failed"
    assert (await http.ask("DELETE", f"{ORDERS}/{order_id}", headers={"If-Match": etag})).status == 200


async def test_an_unknown_order_is_not_found(http: InProcessHttp) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/retry")):
        reply = await http.ask(method, f"{ORDERS}/019aaf64-53c1-7d0e-8b2a-00000000002a{path}")
        assert reply.status == 404, method
        assert reply.problem["error"] == "not_found"


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({**ORDER, "cliente": ""}, "cliente"),
        ({**ORDER, "cliente": "  "}, "cliente"),
        ({**ORDER, "productos": []}, "productos"),
        ({**ORDER, "productos": [{"producto": "pan", "cantidad": "3"}]}, "productos[0].cantidad"),
        ({**ORDER, "precio": 3}, "precio"),
        ({"cliente": "Ana", "productos": ["pan"]}, "direccion"),
    ],
)
async def test_a_wrong_order_is_told_by_field(http: InProcessHttp, order: Any, field: str) -> None:
    reply = await http.post(ORDERS, order)
    assert reply.status == 422
    assert reply.problem["field"] == field
    assert reply.problem["example"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"nope",
        b'{"cliente":"Ana","cliente":"Eva","productos":["p"],"direccion":"x"}',
        b"\xff\xfe",
        b"NaN",
    ],
)
async def test_what_is_not_strict_json_is_refused(http: InProcessHttp, body: bytes) -> None:
    reply = await http.ask("POST", ORDERS, body, headers={"Content-Type": "application/json"})
    assert reply.status == 400
    assert reply.problem["error"] == "invalid_json"


async def test_several_documents_in_one_body_are_refused(http: InProcessHttp) -> None:
    body = json.dumps(ORDER).encode()
    reply = await http.ask("POST", ORDERS, body + b"\n" + body, headers={"Content-Type": "application/json"})
    assert reply.status == 400
    assert reply.problem["error"] == "invalid_json"


async def test_pretty_printed_orders_are_read(http: InProcessHttp) -> None:
    body = json.dumps(ORDER, indent=2).encode()
    assert (
        await http.ask("POST", ORDERS, body, headers={"Content-Type": "application/json; charset=utf-8"})
    ).status == 201


async def test_a_form_is_not_taken_for_json(http: InProcessHttp) -> None:
    reply = await http.ask(
        "POST", ORDERS, json.dumps(ORDER).encode(), headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert reply.status == 415
    assert "application/json" in reply.problem["hint"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limite=0", "limite"),
        ("limite=x", "limite"),
        ("limite=1001", "limite"),
        ("estado=ready", "estado"),
        ("desde=yesterday", "desde"),
        ("desde=2020-01-01T00:00:00", "desde"),
        ("cursor=x", "cursor"),
        ("clinte=Ana", "clinte"),
        ("limite=1&limite=2", "limite"),
    ],
)
async def test_a_wrong_query_is_told_by_field(http: InProcessHttp, query: str, field: str) -> None:
    reply = await http.get(f"{ORDERS}?{query}")
    assert reply.status == 422
    assert reply.problem["field"] == field


async def test_an_order_is_explained(http: InProcessHttp) -> None:
    order_id = await placed(http, LATER)
    story = await http.get(f"{ORDERS}/{order_id}/explain")
    assert story.status == 200
    assert (story.json["id"], story.json["estado"]) == (order_id, "en cola")
    assert [step["paso"] for step in story.json["pasos"]][:2] == ["received", "stored"]
    assert (await http.get(f"{ORDERS}/{uuid.uuid4()}/explain")).status == 404


async def test_a_key_is_of_the_address_that_it_comes_from_where_that_is_its_scope(suite: Suite) -> None:
    await suite.start_intake(request_id_scope="address")
    http = InProcessHttp(await suite.start_gateway(request_id_scope="address"))
    order_id = (await http.post(ORDERS, ORDER, Idempotency_Key="1")).json["id"]
    assert (await http.get(f"{ORDERS}/{order_id}")).json["client_id"] == "127.0.0.1"
    named = {**ORDER, "client_id": "till 1"}
    other = (await http.post(ORDERS, [named], Idempotency_Key="1")).json["resultados"][0]["accepted"]["id"]
    assert (await http.get(f"{ORDERS}/{other}")).json["client_id"] == "till 1"
    assert (await http.post(ORDERS, named, Idempotency_Key="1")).status == 201
