"""The commands around the persistence server, as people and scripts run them."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from clients.errors import Refused, Unreachable
from clients.persistence import PersistenceClient
from tests.support.intake import PATIENCE, PersistenceProcess


def command(server: PersistenceProcess, *words: str) -> tuple[list[str], dict[str, str]]:
    environ = {**os.environ, "TCP_PERSIST_PORT": str(server.port), "ENV_FILE": "/dev/null"}
    return [sys.executable, "-m", "clients", *words], environ


def run(server: PersistenceProcess, *words: str, stdin: str = "") -> tuple[int, list[Any], str]:
    """Runs a command: its exit status, its results, and what it wrote to standard error."""
    words_, environ = command(server, *words)
    ended = subprocess.run(
        words_, env=environ, input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    results = [json.loads(line, parse_float=Decimal) for line in ended.stdout.splitlines()]
    return ended.returncode, results, ended.stderr


def test_record_is_set_shown_and_deleted(persistence: PersistenceProcess) -> None:
    status, (stored,), _ = run(persistence, "data", "set", "X", 'cp="3260"', "n=1.5", "name=hola", "--uuid", "cpu-1")
    assert (status, stored) == (
        0,
        {"id": "X", "version": 1, "data": {"cp": "3260", "n": Decimal("1.5"), "name": "hola"}},
    )
    assert run(persistence, "data", "get", "X")[1] == [stored]
    _, (entry,), _ = run(persistence, "data", "history", "X")
    assert (entry["action"], entry["CPUid"]) == ("set", "cpu-1")
    assert run(persistence, "data", "delete", "X")[0] == 0
    assert run(persistence, "data", "delete", "X")[0] == 1
    status, results, told = run(persistence, "data", "get", "X")
    assert (status, results) == (1, [])
    assert "there is no record X" in told


def test_observer_outlives_the_server_and_misses_nothing(persistence: PersistenceProcess) -> None:
    words, environ = command(persistence, "observe", "-r", "0.05", "-v")
    with subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as observer:
        assert observer.stdout is not None
        assert observer.stderr is not None
        while "connected" not in observer.stderr.readline():
            pass
        with persistence.connect() as session:
            session.ask({"action": "set", "id": "a", "data": {}})
            assert json.loads(observer.stdout.readline())["id"] == "a"
            persistence.kill()
        while "lost" not in observer.stderr.readline():
            pass
        persistence.start()
        with persistence.connect() as session:
            for name in "bc":
                session.ask({"action": "set", "id": name, "data": {}})
        assert [json.loads(observer.stdout.readline())["id"] for _ in "bc"] == ["b", "c"]
        observer.terminate()
        assert observer.wait(PATIENCE) == 143


async def test_client_of_persistence(persistence: PersistenceProcess) -> None:
    async with PersistenceClient("127.0.0.1", persistence.port, uuid="me") as client:
        await client.ping()
        assert (await client.save_score(1, 100)).record is True
        assert (await client.save_score(1, 90)).best == 100
        stored = await client.set("X", {"price": Decimal("0.1")}, version=0)
        assert await client.get("X") == stored
        assert stored.data["price"] == Decimal("0.1")
        with pytest.raises(Refused, match="version"):
            await client.set("X", {}, version=0)
        for number in range(120):
            await client.set(f"r{number:03}", {})
        assert [one.id async for one in client.list("r")] == [f"r{number:03}" for number in range(120)]
        assert (await client.verify_log())["valid"] is True
        assert (await client.health())["status"] == "ok"
        assert await client.delete("X") is True
        assert [entry["action"] async for entry in client.history("X")] == ["delete", "set", "set"]


async def test_server_that_is_away_is_told() -> None:
    with pytest.raises(Unreachable):
        async with PersistenceClient("127.0.0.1", 1):
            pass
