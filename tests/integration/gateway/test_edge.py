"""What every request goes through: names, headers, limits, logs; and what is no request at all."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gateway.conftest import Suite
from tests.support.http import Http
from tests.support.intake import LOOK_SECONDS, PATIENCE, GatewayProcess
from tests.support.orders import ORDER
from tests.support.ports import hold_port


@contextlib.contextmanager
def another(suite: Suite, folder: Path, **settings: Any) -> Iterator[GatewayProcess]:
    """A gateway of other settings before the same servers."""
    with GatewayProcess(folder, [suite.intake, suite.persistence, suite.distributed], settings) as gateway:
        yield gateway


def raw(gateway: GatewayProcess, sent: bytes) -> tuple[int, Any]:
    """Everything that is answered to bytes, until the server ends the connection: a status and a problem."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
        answer = connection.makefile("rb").read()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


# Names and headers.


def test_a_request_has_a_name_that_reaches_the_logs_of_every_server(suite: Suite, http: Http) -> None:
    name = "my-request-1"
    order = http.post("/api/v1/orders", ORDER, X_Request_ID=name)
    assert order.headers["x-request-id"] == name
    http.get("/tasks/nobody", X_Request_ID=name)
    http.get("/api/stats/usuario?user_id=404", X_Request_ID=name)
    for server in (suite.intake, suite.persistence, suite.distributed, suite.gateway):
        server.wait_for_trace(name)
    assert http.get(f"/api/v1/orders/{order.json['id']}").json["trace"] == name


def test_requests_are_logged(suite: Suite, http: Http) -> None:
    http.get("/health", X_Request_ID="logged")
    entry = suite.gateway.wait_for_trace("logged")
    assert {"method": "GET", "path": "/health", "status": 200, "client": "127.0.0.1"}.items() <= entry.items()


# Addresses and methods.


def test_ipv6_and_ipv4_are_served_on_one_port(suite: Suite, tmp_path: Path) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with another(suite, tmp_path, MAIN_SERVER_HOST="::") as gateway:
        for host in ("::1", "127.0.0.1"):
            assert Http(gateway).ask("GET", "/health", host=host).status == 200


# Limits.


def test_what_is_not_http_is_refused(suite: Suite) -> None:
    for sent in (b"hello\r\n\r\n", b'{"action":"ping"}\n', b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\r\n\r\n"):
        status, problem = raw(suite.gateway, sent)
        assert (status, problem["error"]) == (400, "bad_request"), sent


def test_who_is_slow_is_told_and_let_go(suite: Suite, tmp_path: Path) -> None:
    with another(suite, tmp_path, REQUEST_SECONDS=0.2) as gateway:
        half = (
            b"GET / HTTP/1.1\r\nHost:",
            b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        )
        for sent in half:
            status, problem = raw(gateway, sent)
            assert (status, problem["error"]) == (408, "timeout"), sent
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) as silent:
            assert silent.recv(1) == b""


def test_connections_are_bounded(suite: Suite, tmp_path: Path) -> None:
    asked = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with (
        another(suite, tmp_path, MAX_CONNECTIONS=1) as gateway,
        socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) as first,
    ):
        first.sendall(asked)
        assert first.recv(12) == b"HTTP/1.1 200"
        status, problem = raw(gateway, asked)
        assert (status, problem["error"]) == (503, "unavailable")


# RateLimiter.


def test_gateways_share_rates_through_redis(suite: Suite, tmp_path: Path) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    port = hold_port(suite.gateway)
    command = ["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    redis = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert redis.stdout is not None
    try:
        assert any(b"Ready to accept connections" in line for line in redis.stdout)
        settings = {
            "RATE_LIMIT": "3/hour",
            "TENANT_LIMITS": "login=2/hour",
            "REDIS_URL": f"redis://127.0.0.1:{port}",
        }
        stranger = {"email": "nobody@example.com", "password": "siete gatos verdes", "tenant_id": "main"}
        with another(suite, tmp_path / "1", **settings) as one, another(suite, tmp_path / "2", **settings) as two:
            found = [Http(gateway).get("/tasks").status for gateway in (one, two, one, two, one)]
            assert found == [200, 200, 200, 429, 429]
            signed_in = [Http(gateway).post("/api/v1/users/login", stranger).status for gateway in (one, two, one)]
            assert signed_in == [401, 401, 429]
            redis.kill()
            # Each counts for itself until Redis is back.
            assert Http(one).get("/tasks").status == 200
            one.wait_for_log("rate_limit_store_unavailable")
    finally:
        redis.kill()
        redis.wait()
        redis.stdout.close()


@pytest.mark.parametrize(
    ("setting", "value"), [("RATE_LIMIT", "often"), ("REDIS_URL", "nonsense"), ("TLS_CERT", "nowhere.pem")]
)
def test_a_wrong_setting_stops_the_start(tmp_path: Path, setting: str, value: str) -> None:
    gateway = GatewayProcess(tmp_path, [], {setting: value})
    with pytest.raises(AssertionError, match=setting):
        gateway.start()
    assert gateway.wait() == 2


# Probes and the end.


def test_one_scrape_tells_of_all_servers_and_workers(http: Http) -> None:
    http.post("/api/v1/orders", ORDER)
    text = http.get("/metrics").body.decode()
    for server in ("gateway", "intake", "persistence", "distributed"):
        assert f'process_cpu_seconds_total{{server="{server}"}}' in text
    assert 'comanda_http_requests_total{method="POST",route="/api/v1/orders",server="gateway",status="201"}' in text
    assert 'comanda_worker_orders{server="intake",worker="w1"}' in text
    assert 'comanda_orders_accepted_total{server="intake"}' in text
    assert len({line for line in text.splitlines() if line.startswith("# TYPE")}) == text.count("# TYPE")


def test_what_was_asked_is_answered_before_the_end(suite: Suite, tmp_path: Path) -> None:
    with another(suite, tmp_path) as gateway:
        os.kill(suite.persistence.pid, signal.SIGSTOP)
        try:
            with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) as connection:
                connection.sendall(b"GET /tasks/nobody HTTP/1.1\r\nHost: x\r\nX-Request-ID: last\r\n\r\n")
                while 'comanda_http_at_work{server="gateway"} 2.0' not in Http(gateway).get("/metrics").body.decode():
                    time.sleep(LOOK_SECONDS)
                gateway.send_signal(signal.SIGTERM)
                os.kill(suite.persistence.pid, signal.SIGCONT)
                assert connection.makefile("rb").readline().split()[1] == b"404"
        finally:
            os.kill(suite.persistence.pid, signal.SIGCONT)
        assert gateway.wait() == 0
