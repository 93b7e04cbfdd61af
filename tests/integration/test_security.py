"""Who may talk: the token of the internal ports, what they refuse to be open to, and TLS on every port."""

import asyncio
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clients.access import Access, client_tls
from clients.distributed import DistributedClient
from clients.errors import Refused, Unreachable
from clients.intake import IntakeClient
from clients.persistence import PersistenceClient
from clients.services import DistributedServiceClient
from tests.support.intake import (
    PATIENCE,
    DistributedProcess,
    GatewayProcess,
    IntakeProcess,
    PersistenceProcess,
    ServerProcess,
)

TOKEN = "a token of the tests"
INTERNAL = [PersistenceProcess, DistributedProcess]


@pytest.fixture(params=INTERNAL, ids=["persistence", "distributed"])
def guarded(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """An internal server that asks for the token."""
    with request.param(tmp_path / "data", {"SERVICE_TOKEN": TOKEN}) as process:
        yield process


def test_who_shows_the_token_is_let_in(guarded: Any) -> None:
    with guarded.connect() as session:
        session.send(json.dumps({"action": "authenticate", "token": TOKEN, "request_id": 7}) + "\nping\n")
        assert session.read() == {"success": True, "authenticated": True, "request_id": 7}
        assert session.read() == {"success": True, "pong": True}
        assert session.ask({"action": "ping"})["pong"]
    with guarded.connect() as session:
        assert session.ask(f"AUTHENTICATE {TOKEN}")["authenticated"]
        assert session.ask("ping")["pong"]


@pytest.mark.parametrize(
    "first",
    [
        "ping",
        '{"action":"ping"}',
        '{"action":"authenticate","token":"a token of the test"}',
        '{"action":"authenticate","token":"ä token"}',
        '{"action":"authenticate","token":7}',
        '{"action":"authenticate"}',
        "authenticate",
        '{"action":"save_score","user_id":1,"puntaje":1}',
        '{"ACTION":"list"}',
        "{oops}",
        "[]",
    ],
)
def test_who_does_not_is_told_so_and_nothing_is_done(guarded: Any, first: str) -> None:
    with guarded.connect() as session:
        session.send(first + '\n{"action":"put_item","table":"Scores","item":{"user_id":1}}\nping\n')
        answer = session.read()
        assert (answer["success"], answer["error"]) == (False, "unauthorized")
        assert session.at_end()
    with guarded.connect() as session:
        session.ask(f"authenticate {TOKEN}")
        if isinstance(guarded, PersistenceProcess):
            tables = {change["table"] for change in session.ask({"action": "changes"})["changes"]}
            assert "Scores" not in tables


def test_clients_show_the_token(tmp_path: Path) -> None:
    settings = {"SERVICE_TOKEN": TOKEN}
    with PersistenceProcess(tmp_path, settings) as records, DistributedProcess(tmp_path, settings) as service:

        async def ask(token: str | None) -> int:
            access = Access(token)
            async with PersistenceClient("127.0.0.1", records.port, access) as client:
                await client.save_score(1, 10)
            async with DistributedClient("127.0.0.1", service.port, access) as other:
                async for event in other.subscribe(["scores"], since=0):
                    if event["event"] == "score.record":
                        return int(event["puntaje_maximo"])
            return 0

        assert asyncio.run(ask(TOKEN)) == 10
        for wrong in (None, "another token altogether"):
            with pytest.raises(Refused) as refused:
                asyncio.run(ask(wrong))
            assert refused.value.error == "unauthorized"
        with DistributedServiceClient("127.0.0.1", service.port) as plain:
            ok, reply = plain.ping()
            assert (ok, reply["error"]) == (False, "unauthorized")
        environ = {**os.environ, "ENV_FILE": "/dev/null", "SERVICE_TOKEN": TOKEN, "DISTRIBUTED_PORT": str(service.port)}
        words = [sys.executable, "-m", "clients", "stats", "1"]
        ended = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert json.loads(ended.stdout)["puntaje_maximo"] == 10


@pytest.mark.parametrize("kind", INTERNAL)
@pytest.mark.parametrize(("part", "host"), [("HOST", "::"), ("HOST", "0.0.0.0"), ("BIND", "::")])
def test_internal_port_is_not_open_to_everybody_by_accident(
    tmp_path: Path, kind: type[ServerProcess], part: str, host: str
) -> None:
    setting = kind.port_setting.replace("PORT", part)
    environ = {**os.environ, "ENV_FILE": "/dev/null", "DATA_DIR": str(tmp_path), setting: host, kind.port_setting: "0"}
    words = [sys.executable, "-m", kind.module]
    ended = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 2
    assert f"{setting} {host} is reachable from other machines" in ended.stderr
    for settings in ({"SERVICE_TOKEN": TOKEN}, {"OPEN_INTERNAL_PORTS": "true"}):
        with kind(tmp_path, {setting: host, **settings}):
            pass


@pytest.mark.parametrize("kind", INTERNAL)
def test_token_that_is_too_short_stops_the_start(tmp_path: Path, kind: type[ServerProcess]) -> None:
    environ = {**os.environ, "ENV_FILE": "/dev/null", "DATA_DIR": str(tmp_path), "SERVICE_TOKEN": "short"}
    words = [sys.executable, "-m", kind.module]
    ended = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (ended.returncode, "SERVICE_TOKEN" in ended.stderr) == (2, True)


# TLS.


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and its key, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost", "-addext", names]
    subprocess.run(words, check=True, capture_output=True)
    return cert, key


def encrypted(certificate: tuple[Path, Path]) -> dict[str, str]:
    return {"TLS_CERT": str(certificate[0]), "TLS_KEY": str(certificate[1])}


def test_every_port_speaks_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    settings = encrypted(certificate)
    access = Access(tls=client_tls(str(certificate[0])))
    with (
        IntakeProcess(tmp_path, settings) as intake,
        PersistenceProcess(tmp_path, settings) as records,
        DistributedProcess(tmp_path, settings) as service,
    ):

        async def ask() -> None:
            async with IntakeClient("localhost", intake.port, access) as orders:
                accepted = await orders.order({"cliente": "Ana", "productos": ["pan"], "direccion": "x"})
                assert (await orders.follow(accepted.id)).state.value == "listo"
            async with PersistenceClient("localhost", records.port, access) as client:
                await client.save_score(1, 10)
            async with DistributedClient("localhost", service.port, access) as other:
                await other.ping()
            with pytest.raises(Unreachable, match="TLS: self-signed certificate"):
                await DistributedClient("localhost", service.port, Access(tls=ssl.create_default_context())).ping()

        asyncio.run(ask())
        environ = {**os.environ, **settings, "ENV_FILE": "/dev/null", "SERVER_PORT": str(intake.port)}
        for command in (["health"], ["loadtest", "--orders", "200", "--verify"]):
            words = [sys.executable, "-m", "clients", *command]
            ended = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
            assert ended.returncode == 0, ended.stderr


def test_gateway_speaks_tls_to_both_sides(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    settings = encrypted(certificate)
    with (
        IntakeProcess(tmp_path, settings) as intake,
        PersistenceProcess(tmp_path, settings) as records,
        GatewayProcess(tmp_path, [intake, records], settings) as gateway,
    ):
        context = client_tls(str(certificate[0]))
        for body, status in ((b"", 200), (b"x" * 2_000_000, 413)):
            connection = http.client.HTTPSConnection("localhost", gateway.port, timeout=PATIENCE, context=context)
            try:
                method, path = ("POST", "/tasks") if body else ("GET", "/ready")
                connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
                answer = connection.getresponse()
                assert answer.status == status
                assert answer.headers["Strict-Transport-Security"]
                found = json.loads(answer.read())
                if not body:
                    assert found["dependencies"]["intake"]["status"] == "ok"
                    assert found["dependencies"]["persistence"]["status"] == "ok"
            finally:
                connection.close()
        # A client that knows nothing of TLS is let go.
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert plain.recv(1024)[:5] != b"HTTP/"


def test_small_client_over_tls_gets_its_answer_and_the_end(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    context = client_tls(str(certificate[0]))
    with PersistenceProcess(tmp_path, encrypted(certificate)) as records:
        plain = socket.create_connection(("127.0.0.1", records.port), timeout=PATIENCE)
        with context.wrap_socket(plain, server_hostname="localhost") as session:
            session.sendall(b'{"action":"save_score","user_id":1,"puntaje":5}')
            received = b""
            while data := session.recv(4096):
                received += data
        assert json.loads(received)["nuevo_record"] is True


def test_plain_text_on_a_tls_port_gets_nowhere_and_harms_nobody(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    with PersistenceProcess(tmp_path, encrypted(certificate)) as records:
        with records.connect() as session:
            session.send('{"action":"save_score","user_id":1,"puntaje":5}\n')
            assert b"success" not in session.rest()

        async def ping() -> None:
            access = Access(tls=client_tls(str(certificate[0])))
            async with PersistenceClient("localhost", records.port, access) as client:
                await client.ping()

        asyncio.run(ping())


@pytest.mark.parametrize("missing", ["TLS_CERT", "TLS_KEY"])
def test_half_of_tls_stops_the_start(tmp_path: Path, certificate: tuple[Path, Path], missing: str) -> None:
    settings = {**encrypted(certificate), missing: ""}
    environ = {**os.environ, **settings, "ENV_FILE": "/dev/null", "DATA_DIR": str(tmp_path), "SERVER_PORT": "0"}
    words = [sys.executable, "-m", "services.intake"]
    ended = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (ended.returncode, f"{missing} is not set" in ended.stderr) == (2, True)


def test_key_of_another_certificate_stops_the_start(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    odd = tmp_path / "odd.pem"
    odd.write_text("no key")
    environ = {**os.environ, "ENV_FILE": "/dev/null", "DATA_DIR": str(tmp_path), "SERVER_PORT": "0"}
    environ |= {"TLS_CERT": str(certificate[0]), "TLS_KEY": str(odd)}
    words = [sys.executable, "-m", "services.intake"]
    ended = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (ended.returncode, "cannot be used" in ended.stderr) == (2, True)
