"""Edge over HTTP, in this process."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from tests.support.in_process import Suite
from tests.support.in_process_http import InProcessHttp
from tests.support.orders import ORDER


async def test_a_request_without_a_fit_name_gets_one(http: InProcessHttp) -> None:
    reply = await http.get("/nowhere", X_Request_ID="a name with spaces")
    assert reply.headers["x-request-id"] == reply.problem["request_id"]
    assert len(reply.problem["request_id"]) == 32


async def test_every_answer_has_the_headers_of_safety(http: InProcessHttp) -> None:
    for path in ("/", "/nowhere", "/docs", "/static/docs.js", "/api/v1/orders"):
        headers = (await http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"], path
        assert headers["referrer-policy"] == "no-referrer", path
        assert "server" not in headers, path


async def test_what_is_nowhere_is_not_found(http: InProcessHttp) -> None:
    for path in (
        "/nowhere",
        "/tasks/",
        "/tasks/1/2",
        "/static/nothing.js",
        "/static/../pages.py",
        "/api/v1/orders//retry",
    ):
        reply = await http.get(path)
        assert reply.status == 404, path
        assert reply.problem["error"] == "not_found"


async def test_a_wrong_method_is_told_the_right_ones(http: InProcessHttp) -> None:
    reply = await http.ask("PUT", "/tasks")
    assert reply.status == 405
    assert reply.headers["allow"] == "GET, HEAD, POST"
    assert reply.problem["error"] == "method_not_allowed"
    assert (await http.ask("POST", "/static/docs.js", b"")).status == 405


async def test_head_is_get_without_the_body(everything: InProcessHttp) -> None:
    for path in ("/health", "/tasks", "/docs", "/api/v1/events", "/static/docs.js"):
        reply = await everything.ask("HEAD", path)
        assert (reply.status, reply.body) == (200, b""), path


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(http: InProcessHttp) -> None:
    reply = await http.ask("POST", "/tasks", b"x" * 1_100_000, headers={"Content-Type": "application/json"})
    assert reply.status == 413
    assert reply.problem["error"] == "too_large"
    assert reply.headers["connection"] == "close"


async def test_a_body_without_a_length_is_held_to_the_limit(http: InProcessHttp) -> None:
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    head = b"POST /tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    status, problem = await http.refused(head + piece * 20 + b"0\r\n\r\n")
    assert (status, problem["error"]) == (413, "too_large")


async def test_headers_are_held_to_a_limit(http: InProcessHttp) -> None:
    for sent in (b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000, b"GET /" + b"x" * 40_000):
        status, problem = await http.refused(sent)
        assert (status, problem["error"]) == (431, "headers_too_large")


async def test_what_is_not_http_is_refused(http: InProcessHttp) -> None:
    for sent in (b"hello\r\n\r\n", b'{"action":"ping"}\n', b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\r\n\r\n"):
        status, problem = await http.refused(sent)
        assert (status, problem["error"]) == (400, "bad_request"), sent


async def test_a_wrong_length_is_refused(http: InProcessHttp) -> None:
    for length in (b"-1", b"x", b"1, 2"):
        status, problem = await http.refused(
            b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n"
        )
        assert (status, problem["error"]) == (400, "bad_request"), length


async def test_one_scrape_tells_of_all_servers_and_workers(everything: InProcessHttp) -> None:
    http = everything
    await http.post("/api/v1/orders", ORDER)
    text = (await http.get("/metrics")).body.decode()
    for server in ("gateway", "intake", "persistence", "distributed"):
        assert f'process_cpu_seconds_total{{server="{server}"}}' in text
    assert 'comanda_http_requests_total{method="POST",route="/api/v1/orders",server="gateway",status="201"}' in text
    assert 'comanda_worker_orders{server="intake",worker="w1"}' in text
    assert 'comanda_orders_accepted_total{server="intake"}' in text
    assert len({line for line in text.splitlines() if line.startswith("# TYPE")}) == text.count("# TYPE")


async def test_ready_tells_of_each_server(everything: InProcessHttp) -> None:
    http = everything
    reply = await http.get("/ready")
    assert reply.status == 200
    assert reply.json["status"] == "ok"
    assert {one["status"] for one in reply.json["dependencies"].values()} == {"ok"}


async def test_a_request_has_a_name_that_reaches_the_logs_of_every_server(
    suite: Suite, everything: InProcessHttp, log: list[MutableMapping[str, Any]]
) -> None:
    name = "my-request-1"
    order = await everything.post("/api/v1/orders", ORDER, X_Request_ID=name)
    assert order.headers["x-request-id"] == name
    await everything.get(f"/api/v1/orders/{order.json['id']}/explain", X_Request_ID=name)
    await everything.get("/tasks/nobody", X_Request_ID=name)
    await everything.get("/api/stats/usuario?user_id=404", X_Request_ID=name)
    traced = [entry for entry in log if entry.get("trace") == name]
    assert {entry.get("action") for entry in traced} >= {"get_item", "get_user_stats"}
    assert len(traced) >= 4
    assert (await everything.get(f"/api/v1/orders/{order.json['id']}")).json["trace"] == name


async def test_requests_are_logged_where_settings_say_so(suite: Suite, log: list[MutableMapping[str, Any]]) -> None:
    http = InProcessHttp(await suite.start_gateway(log_requests="all"))
    await http.get("/health", X_Request_ID="logged")
    entry = next(entry for entry in log if entry.get("trace") == "logged")
    assert {"method": "GET", "path": "/health", "status": 200, "client": "127.0.0.1"}.items() <= entry.items()


async def test_pages_of_other_origins_are_let_in_where_settings_say_so(suite: Suite, http: InProcessHttp) -> None:
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in (await http.ask("GET", "/tasks", headers=asked)).headers
    port = await suite.start_gateway(cors_origins="https://shop.example, https://other.example")
    opened = InProcessHttp(port)
    preflight = await opened.ask("OPTIONS", "/api/v1/orders", headers=asked)
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
    stranger = await opened.ask("GET", "/tasks", headers={"Origin": "https://stranger.example"})
    assert "access-control-allow-origin" not in stranger.headers


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\nHost:", b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"],
)
async def test_who_is_slow_is_told_and_let_go(http: InProcessHttp, sent: bytes) -> None:
    status, problem = await http.refused(sent)
    assert (status, problem["error"]) == (408, "timeout")


async def test_connection_that_says_nothing_is_let_go(http: InProcessHttp) -> None:
    assert await http.raw(b"") == b""


async def test_connections_are_bounded_in_all_and_for_each_address(suite: Suite) -> None:
    port = await suite.start_gateway(max_connections=2, max_connections_per_address=1)
    asked = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    far = InProcessHttp(port, peer="192.0.2.7")
    reader, writer = await far.open()
    writer.write(asked)
    assert await reader.read(12) == b"HTTP/1.1 200"
    assert (await far.refused(asked))[1]["detail"].startswith("192.0.2.7 has 1 connections")
    _, second = await InProcessHttp(port).open()
    status, problem = await InProcessHttp(port).refused(asked)
    assert (status, problem["error"]) == (503, "unavailable")
    writer.close()
    second.close()


async def test_pipelined_requests_are_answered_in_order(http: InProcessHttp) -> None:
    answer = await http.raw(
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    assert answer.index(b"200 OK") < answer.index(b"404 Not Found")


async def test_a_client_is_held_to_the_rate_of_each_route(suite: Suite, http: InProcessHttp) -> None:
    held = InProcessHttp(await suite.start_gateway(rate_limit="3/hour"))
    assert [(await held.get("/tasks")).status for _ in range(4)] == [200, 200, 200, 429]
    reply = await held.get("/tasks")
    assert reply.problem["error"] == "rate_limited"
    assert int(reply.headers["retry-after"]) >= 1
    assert (await held.get("/api/v1/orders")).status == 200
    assert {(await held.get("/health")).status for _ in range(5)} == {200}


async def test_work_at_a_time_is_bounded(suite: Suite) -> None:
    await suite.start_persistence()
    http = InProcessHttp(await suite.start_gateway(max_requests=1))
    suite.records.seconds = 2.0
    first = asyncio.create_task(http.get("/tasks/nobody"))
    await asyncio.sleep(1)
    assert (await http.get("/tasks/nobody")).problem["error"] == "unavailable"
    assert (await first).status == 404


async def test_request_that_takes_too_long_gets_an_answer_in_time(suite: Suite) -> None:
    await suite.start_persistence()
    http = InProcessHttp(await suite.start_gateway(request_seconds=1.0))
    suite.records.seconds = 60.0
    began = asyncio.get_running_loop().time()
    assert (await http.get("/tasks/nobody")).status in (503, 504)
    assert asyncio.get_running_loop().time() - began < 3


async def test_stop_answers_what_was_asked(suite: Suite) -> None:
    await suite.start_persistence()
    http = InProcessHttp(await suite.start_gateway())
    suite.records.seconds = 2.0
    asked = asyncio.create_task(http.get("/tasks/nobody"))
    await asyncio.sleep(1)
    await suite.stop("main_server_port")
    assert (await asked).status == 404


async def test_servers_that_are_away_are_told_of_and_used_again_when_they_are_back(suite: Suite) -> None:
    http = InProcessHttp(await suite.start_gateway())
    for path in ("/tasks", "/api/v1/orders", "/api/stats/global", "/api/v1/events"):
        reply = await http.get(path)
        assert (reply.status, reply.problem["error"]) == (503, "unavailable"), path
    ready = await http.get("/ready")
    assert (ready.status, {one["status"] for one in ready.json["dependencies"].values()}) == (503, {"away"})


async def test_what_dynamodb_has_no_service_for_is_not_promised_for_later(suite: Suite) -> None:
    await suite.start_persistence()
    http = InProcessHttp(await suite.start_gateway(store="dynamodb"))
    for path in ("/api/stats/global", "/api/notificaciones?user_id=1", "/api/v1/events"):
        reply = await http.get(path)
        assert (reply.status, reply.problem["error"]) == (501, "unavailable"), path
        assert "retry-after" not in reply.headers
    assert "distributed" not in (await http.get("/ready")).json["dependencies"]
