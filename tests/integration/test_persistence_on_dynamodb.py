"""What only holds on DynamoDB: several servers on the same tables, and a store that can be away."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dynamodb import CREDENTIALS, DynamoServer, own_tables, settings_of
from tests.support.intake import PATIENCE, PersistenceProcess


@pytest.fixture
def settings(dynamodb: str) -> dict[str, str]:
    """Those of servers that share tables."""
    return settings_of(own_tables(dynamodb))


@pytest.fixture
def two(tmp_path: Path, settings: dict[str, str]) -> Iterator[tuple[PersistenceProcess, PersistenceProcess]]:
    """Two servers on the same tables."""
    with PersistenceProcess(tmp_path, settings) as one, PersistenceProcess(tmp_path, settings) as other:
        yield one, other


def test_servers_share_records_log_and_feed(two: tuple[PersistenceProcess, PersistenceProcess]) -> None:
    one, other = two
    with one.connect() as here, other.connect() as there, other.connect() as observer:
        observer.ask("watch x")
        here.ask({"action": "set", "id": "x", "data": {"n": 1}})
        assert there.ask("get x")["data"] == {"n": 1}
        while (event := observer.read())["event"] == "position":
            pass
        assert event == {"event": "update", "id": "x", "version": 1, "data": {"n": 1}}
        assert there.ask({"action": "set", "id": "x", "data": {"n": 2}, "version": 1})["version"] == 2
        assert here.ask({"action": "set", "id": "x", "data": {}, "version": 1})["error"] == "conflict"
        found = here.ask("verify_log")
        assert (found["valid"], found["chains"]) == (True, 2)


def test_killed_server_leaves_a_log_that_another_verifies(
    two: tuple[PersistenceProcess, PersistenceProcess],
) -> None:
    one, other = two
    with one.connect() as session:
        session.send("".join(f'{{"action":"set","id":"r{n}","data":{{"n":{n}}}}}\n' for n in range(600)))
        answered = [session.read()["id"] for _ in range(150)]
        one.kill()
    with other.connect() as session:
        assert all(session.ask(f"get {name}")["success"] for name in answered)
        assert session.ask("verify_log")["valid"] is True


def test_store_that_is_away_is_told_in_time_and_used_again(tmp_path: Path) -> None:
    dynamo = DynamoServer()
    dynamo.start()
    try:
        settings = {**settings_of(own_tables(dynamo.endpoint)), "STORE_SECONDS": "1.5"}
        with PersistenceProcess(tmp_path, settings) as server, server.connect() as session:
            assert session.ask({"action": "set", "id": "x", "data": {"n": 1}})["success"]
            dynamo.process.send_signal(signal.SIGSTOP)
            try:
                assert session.ask("get x")["error"] == "db_error"
                assert session.ask({"action": "set", "id": "x", "data": {"n": 2}})["error"] == "db_error"
                assert session.ask("health")["status"] == "degraded"
            finally:
                dynamo.process.send_signal(signal.SIGCONT)
            session.wait_until("get x", "success", True)
            assert session.ask({"action": "set", "id": "y", "data": {}})["success"]
            assert session.ask("health")["status"] == "ok"
            assert session.ask("verify_log")["valid"] is True
    finally:
        dynamo.stop()


def test_tables_are_made_once(settings: dict[str, str]) -> None:
    environ = {**os.environ, **CREDENTIALS, **settings, "ENV_FILE": "/dev/null"}
    told = []
    for _ in range(2):
        command = [sys.executable, "-m", "services.persistence", "--create-tables"]
        ended = subprocess.run(command, env=environ, capture_output=True, timeout=PATIENCE, check=True)
        told.append(ended.stdout.decode())
    for name in ("CorporateData", "Orders"):
        assert f"made {settings['DYNAMODB_PREFIX']}{name}\n" in told[0]
    assert told[1] == "every table is there\n"


def test_dynamodb_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    settings = {"STORE": "dynamodb", "DYNAMODB_ENDPOINT": "http://127.0.0.1:9", "AWS_REGION": "eu-west-1"}
    server = PersistenceProcess(tmp_path, {**settings, "STORE_SECONDS": "0.5"})
    with pytest.raises(AssertionError, match="DYNAMODB_ENDPOINT"):
        server.start()
    assert server.wait() == 2


def test_what_nobody_waits_for_any_more_is_not_done(tmp_path: Path) -> None:
    server = DynamoServer()
    server.start()
    try:
        settings = {**CREDENTIALS, **settings_of(own_tables(server.endpoint)), "STORE_SECONDS": "1"}
        with (
            PersistenceProcess(tmp_path, settings) as persistence,
            persistence.connect() as first,
            persistence.connect() as second,
        ):
            error = ""
            # Both may come in time for the same turn, which the store then refuses as a whole.
            while error != "deadline_exceeded":
                assert error in ("", "db_error")
                assert first.ask({"action": "set", "id": "X", "data": {"a": 1}})["success"]
                server.process.send_signal(signal.SIGSTOP)
                first.send('{"action":"set","id":"X","data":{"a":2}}\n')
                second.send('{"action":"set","id":"Y","data":{"a":1},"deadline_ms":1}\n')
                assert first.read()["error"] == "db_error"
                error = second.read()["error"]
                server.process.send_signal(signal.SIGCONT)
    finally:
        server.stop()
