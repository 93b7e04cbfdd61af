"""Requests that a decoder, a hook or a log once stumbled over: each is answered, and costs nobody else anything."""

import base64
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.intake import (
    PATIENCE,
    DistributedProcess,
    GatewayProcess,
    IntakeProcess,
    PersistenceProcess,
    ServerProcess,
)

SECRETS = {
    "SERVICE_TOKEN": "the-service-token-of-the-tests",
    "JWT_SECRET": "the-jwt-secret-of-the-tests-which-is-long",
    "PICKLE_KEY": "the-pickle-key-of-the-tests-which-is-long",
}
BEARER = "the-bearer-token-of-the-tests"
DEEP = '{"action":"set","id":"j","data":{"v":' + "[" * 494 + "]" * 494 + "}}"
HUGE_EXPONENT = "0e1000000000000000000"
ODD_DOCUMENTS = [
    DEEP,
    '{"ACTION":"set","ID":"j","v":' + "[" * 494 + "]" * 494 + "}",
    "[" * 40_000,
    '{"action":"set","id":"j","data":{"v":' + HUGE_EXPONENT + "}}",
    '{"ACTION":"set","ID":"j","v":' + HUGE_EXPONENT + "}",
    '{"action":"set","id":"j","data":{"v":1e400}}',
    '{"action":"set","id":"j","data":{"v":' + "1" * 5000 + "}}",
    '{"ACTION":"set","ID":"j","v":' + "1" * 5000 + "}",
    '{"action":"query","table":"Tasks","partition":' + HUGE_EXPONENT + "}",
    '{"action":"query","table":"Stock","low":' + HUGE_EXPONENT + ',"high":1e400}',
    '{"action":"update_item","table":"Tasks","key":{"id":' + HUGE_EXPONENT + "}}",
    '{"action":"update_item","table":"Scores","key":{"user_id":' + HUGE_EXPONENT + '},"add":{"n":1e400}}',
    '{"action":"put_item","table":"Tasks","item":{"id":"x"},"when":{"version":' + "9" * 4000 + "}}",
    '{"action":"save_score","user_id":1e400,"puntaje":' + HUGE_EXPONENT + "}",
    '{"action":"get_user_stats","user_id":' + "1" * 5000 + "}",
    '{"action":"get_user_stats","user_id":' + HUGE_EXPONENT + "}",
    '{"action":"add_notification","user_id":1,"message":{"a":' + "[" * 30 + "]" * 30 + "}}",
    '{"action":"list","limite":1e400,"desde":"0001-01-01T00:00:00+23:59"}',
    '{"encoding":"pickle","payload":"AAAA"}',
    '{"action":' + "[" * 20 + "]" * 20 + "}",
    '{"request_id":' + HUGE_EXPONENT + ',"action":"ping"}',
    '{"cliente":"a","productos":[{"producto":"x","precio":' + HUGE_EXPONENT + '}],"direccion":"d"}',
    '{"cliente":"a","productos":[{"producto":"x","precio":1e400}],"direccion":"d"}',
    '{"cliente":"a","productos":[{"producto":"x","precio":' + "1" * 5000 + '}],"direccion":"d"}',
    '{"cliente":"a","productos":["x"],"direccion":"d","no_antes_de":"0001-01-01T00:00:00+23:59"}',
    '{"cliente":"a","productos":["x"],"direccion":"d","no_antes_de":"9999-12-31T23:59:59-23:59"}',
    '{"cliente":"a","productos":["x"],"direccion":"d","otro":' + "[" * 400 + "]" * 400 + "}",
]


def check_log(server: ServerProcess) -> None:
    """Nothing secret is in the log of a server that has ended, and no entry of it is long."""
    for entry in server.log:
        text = json.dumps(entry)
        assert len(text) < 12_000, text[:2000]
        for secret in (*SECRETS.values(), BEARER):
            assert secret not in text


@pytest.fixture(params=[IntakeProcess, PersistenceProcess, DistributedProcess], ids=["8888", "6000", "7000"])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Each server with a TCP port; its log is checked in the end."""
    with request.param(tmp_path / "data", SECRETS) as process:
        yield process
    process.wait_for_log("end of log")
    check_log(process)
    assert "internal_error" not in json.dumps(process.log)


def test_each_request_of_a_segment_is_answered_whatever_another_one_is(server: ServerProcess) -> None:
    with server.connect() as session:  # type: ignore[attr-defined]
        if not isinstance(server, IntakeProcess):
            session.ask({"action": "authenticate", "token": SECRETS["SERVICE_TOKEN"]})
        for odd in ODD_DOCUMENTS:
            began = time.monotonic()
            session.send(
                '{"action":"ping","request_id":"before"}\n' + odd + '\n{"action":"ping","request_id":"behind"}\n'
            )
            answers = [session.read() for _ in range(3)]
            assert [answer.get("request_id") for answer in (answers[0], answers[2])] == ["before", "behind"], odd[:200]
            assert answers[1].get("error", answers[1].get("code")) not in ("internal_error", "db_error"), odd[:200]
            assert time.monotonic() - began < PATIENCE / 10, odd[:200]


def test_depth_and_numbers_are_refused_by_name(tmp_path: Path) -> None:
    with PersistenceProcess(tmp_path / "data") as server, server.connect() as session:
        assert session.ask(DEEP)["error"] == "invalid_json"
        refused = session.ask('{"action":"set","id":"j","data":{"a":[1,{"v":' + HUGE_EXPONENT + "}]}}")
        assert (refused["error"], refused["field"]) == ("invalid_params", "data.a[1].v")
        assert session.ask({"action": "set", "id": "j", "data": {"v": [0]}})["success"]


def exchange(gateway: GatewayProcess, head: str, body: bytes = b"") -> int:
    """The status of the answer to a request that is sent as it is."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
            connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read()
    assert b"problem+json" in answer or answer.startswith(b"HTTP/1.1 2"), answer
    return int(answer.split()[1])


def test_the_gateway_answers_what_it_cannot_read(tmp_path: Path) -> None:
    token = base64.urlsafe_b64encode(b"[" * 20_000).decode()
    order = '{"cliente":"a","productos":[{"producto":"x","precio":%s}],"direccion":"d"}'
    with GatewayProcess(tmp_path / "data", [], {**SECRETS, "STAGE": "dev"}) as gateway:
        bearer = f"Authorization: Bearer {BEARER}\nConnection: close"
        heads = {
            f"GET / HTTP/1.1\nHost: [\n{bearer}": 400,
            f"GET / HTTP/1.1\nHost: a\nHost: a\n{bearer}": 400,
            f"GET / HTTP/1.1\n{bearer}": 400,
            f"GET /static/admin/main.js HTTP/1.1\nHost: [::1\n{bearer}": 400,
            f"POST /imports/x/undo HTTP/1.1\nHost: a\nOrigin: http://[\n{bearer}": 400,
            f"OPTIONS /tasks HTTP/1.1\nHost: [\nOrigin: http://[\nAccess-Control-Request-Method: GET\n{bearer}": 400,
            f"GET /\xff HTTP/1.1\nHost: a\n{bearer}": 400,
            f"GET http://[ HTTP/1.1\nHost: a\n{bearer}": 400,
            "GET /tasks?limit=%ff HTTP/1.1\nHost: a\nConnection: close": 422,
            f"GET /tasks/%ff HTTP/1.1\nHost: a\n{bearer}": 404,
            f"GET /tasks?limit={'9' * 5000} HTTP/1.1\nHost: a\nConnection: close": 422,
            f"GET /api/notificaciones HTTP/1.1\nHost: a\nConnection: close\nAuthorization: Bearer {token}.e30.x": 401,
            f"GET /api/notificaciones HTTP/1.1\nHost: a\n{bearer}": 401,
        }
        for head, status in heads.items():
            assert exchange(gateway, head) == status, head[:100]
        json_type = "POST /api/v1/orders HTTP/1.1\nHost: a\nContent-Type: application/json\nConnection: close"
        bodies = {
            order % "1e400": 422,
            order % HUGE_EXPONENT: 422,
            order % ("1" * 5000): 422,
            "[" * 30_000: 400,
            '{"a":' * 30_000: 400,
        }
        for body, status in bodies.items():
            assert exchange(gateway, f"{json_type}\nContent-Length: {len(body)}", body.encode()) == status, body[:100]
        for kind in (
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary*=utf-8''%ff",
            "multipart/form-data;\xff",
        ):
            head = f"POST /items/upload HTTP/1.1\nHost: a\nContent-Type: {kind}\nContent-Length: 3\nConnection: close"
            assert exchange(gateway, head, b"abc") == 422, kind
    gateway.wait_for_log("end of log")
    check_log(gateway)
    assert not [entry for entry in gateway.log if "exception" in entry]
