"""Peers that misbehave: too many, too large, too slow, too silent. The others never notice."""

import json
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from shared.stores.sqlite.database import connect
from tests.support.intake import PATIENCE, IntakeProcess, Session

pytestmark = pytest.mark.shared_intake

ORDER = {"cliente": "a", "productos": ["x"], "direccion": "d"}


@pytest.mark.intake(IDLE_SECONDS=0.3, STALL_SECONDS=30)
def test_idle_connection_is_told_and_closed_but_not_one_that_watches(intake: IntakeProcess) -> None:
    with intake.connect() as watcher, intake.connect() as idle:
        watcher.ask("watch")
        assert idle.read()["error"] == "timeout"
        assert idle.at_end()
        with intake.connect() as other:
            other.ask(ORDER)
        assert watcher.read()["event"] == "order.accepted"


@pytest.mark.intake(STALL_SECONDS=0.3)
def test_unfinished_document_is_told_and_closed(intake: IntakeProcess) -> None:
    with intake.connect() as session:
        session.send('{"cliente": "a",')
        assert session.read()["error"] == "timeout"
        assert session.at_end()


@pytest.mark.intake(MAX_CONNECTIONS=3)
def test_connection_beyond_the_limit_is_told_why(intake: IntakeProcess) -> None:
    opened = [intake.connect() for _ in range(3)]
    with socket.create_connection(("127.0.0.1", intake.port), timeout=PATIENCE) as refused:
        answer = refused.makefile("rb").read()
    assert json.loads(answer)["error"] == "unavailable"
    assert opened[0].ask("ping")["pong"]
    opened.pop().close()
    while True:
        # The place is free once the server has seen the end of the stream.
        with socket.create_connection(("127.0.0.1", intake.port), timeout=PATIENCE) as again:
            if b"hello" in again.makefile("rb").readline():
                break
    for connection in opened:
        connection.close()


@pytest.mark.intake(MAX_DOCUMENT_BYTES=2000)
@pytest.mark.parametrize("lines", [True, False])
def test_document_too_large_is_told_and_closed(intake: IntakeProcess, lines: bool) -> None:
    with intake.connect() as session:
        session.send(json.dumps(ORDER | {"direccion": "x" * 5000}) + ("\n" if lines else ""))
        assert session.read()["error"] == "too_large"
        assert session.at_end()
    with intake.connect() as session:
        session.send((json.dumps(ORDER) + "\n") * 100)
        assert all(session.read()["success"] for _ in range(100))


@pytest.mark.intake(MAX_UNREAD_BYTES=4096, STALL_SECONDS=1)
def test_reader_that_never_reads_is_cut_and_costs_nobody(intake: IntakeProcess) -> None:
    deaf = Session("127.0.0.1", intake.port)
    deaf.socket.settimeout(0.05)
    asked = b"help\n" * 1000
    with intake.connect() as other:
        cut = False
        while not cut:
            try:
                deaf.send(asked)
            except TimeoutError:
                assert other.ask("ping")["pong"]
            except OSError:
                cut = True
    deaf.close()


@pytest.mark.intake(MAX_UNREAD_BYTES=4096, MAX_PEDIDOS_EN_COLA=1000000, STALL_SECONDS=600)
def test_watcher_that_falls_behind_gets_a_gap_and_then_goes_on(intake: IntakeProcess) -> None:
    with intake.connect() as watcher, intake.connect() as other:
        watcher.ask("watch")
        sent = 0
        # More than the sockets' buffers hold, so that some of it must be dropped.
        block = (json.dumps(ORDER) + "\n") * 2000
        for _ in range(30):
            other.send(block)
            assert all(other.read()["success"] for _ in range(2000))
            sent += 2000
        other.wait_until("stats", "stats.abiertos", 0)
        seen = missed = 0
        while not missed:
            event = watcher.read()
            if event["event"] == "gap":
                missed = event["missed"]
            else:
                seen += 1
            if seen % 100 == 0:
                other.ask(ORDER)
        assert 0 < missed < 3 * (sent + seen)


def test_few_file_descriptors_are_enough_to_say_so(tmp_path: Path) -> None:
    few = 64
    code = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); "
        "sys.argv = ['intake']; runpy.run_module('services.intake', run_name='__main__', alter_sys=True)"
    )
    assert few < resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    intake = IntakeProcess(tmp_path, command=[sys.executable, "-c", code])
    with intake:
        connections = [socket.create_connection(("127.0.0.1", intake.port), timeout=PATIENCE) for _ in range(100)]
        first = [json.loads(connection.makefile("rb").readline()) for connection in connections]
        greeted = [connection for connection, line in zip(connections, first, strict=True) if "event" in line]
        assert 0 < len(greeted) < few
        assert all(line["error"] == "unavailable" for line in first if "event" not in line)
        greeted[0].sendall(json.dumps(ORDER).encode() + b"\n")
        assert json.loads(greeted[0].makefile("rb").readline())["success"]
        for connection in connections:
            connection.close()


def test_bytes_one_at_a_time_are_a_request_in_the_end(session: Session) -> None:
    for byte in json.dumps(ORDER, indent=1).encode() + b"\n":
        session.send(bytes((byte,)))
    assert session.read()["success"]


def test_no_garbage_ends_the_session(session: Session) -> None:
    for garbage in (
        b"\x00\x01\x02",
        b"}{",
        b'{"a"',
        b"[1,2",
        b"\xff\xfe\xfd",
        b'"text"',
        b"nul",
        b"{]",
        b'{"x":"\xc3("}',
    ):
        session.send(garbage + b"\n")
    session.send(b"\n\x03\nping\n")
    while not session.read().get("pong"):
        pass
    assert session.ask(ORDER)["success"]


def test_package_runs_as_a_module_with_help() -> None:
    ended = subprocess.run([sys.executable, "-m", "services.intake", "--help"], capture_output=True, check=True)
    assert b"MAX" not in ended.stdout
    assert b"--workers" in ended.stdout


@pytest.mark.intake(MAX_DOCUMENT_BYTES=2000)
def test_nothing_behind_a_request_that_is_too_large_is_taken_for_one(intake: IntakeProcess) -> None:
    with intake.connect() as session:
        session.send("[" + " " * 2100 + "]\n" + json.dumps(ORDER) + "\n")
        assert session.read()["error"] == "too_large"
        assert session.at_end()
    with intake.connect() as session:
        assert session.ask("stats")["stats"]["aceptados"] == 0


@pytest.mark.intake
def test_body_of_an_http_request_is_not_an_order(intake: IntakeProcess) -> None:
    with intake.connect() as session:
        session.send("POST / HTTP/1.1\r\nHost: x\r\n\r\n" + json.dumps(ORDER) + "\n")
        answer = session.rest()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"success" not in answer
    with intake.connect() as session:
        assert session.ask("stats")["stats"]["aceptados"] == 0


@pytest.mark.intake(MAX_ARRAY_ORDERS=3)
def test_array_beyond_the_limit_is_refused_as_a_whole(session: Session) -> None:
    refused = session.ask(json.dumps([ORDER] * 4))
    assert (refused["error"], refused["hint"].split()[-1]) == ("invalid_params", "MAX_ARRAY_ORDERS")
    assert [answer["success"] for answer in session.ask(json.dumps([ORDER, 7, ORDER]))] == [True, False, True]
    assert session.ask("stats")["stats"]["aceptados"] == 2


def test_flood_of_small_nonsense_lets_others_through_and_is_answered_in_full(intake: IntakeProcess) -> None:
    lines = 100_000
    with intake.connect() as flood, intake.connect() as other:
        sender = threading.Thread(target=flood.send, args=(b"x\n" * lines + b"ping\n",))
        sender.start()
        answers = 0
        while not (answer := flood.read()).get("pong"):
            assert answer["error"] == "unknown_action"
            answers += 1
            if answers == 1:
                # Long before the flood is through, another one is answered.
                assert other.ask("ping")["pong"]
        sender.join()
    assert answers == lines


def test_end_of_the_stream_waits_until_everything_before_it_is_answered(intake: IntakeProcess) -> None:
    lines = 20_000
    with intake.connect() as session:
        session.send(b"x\n" * lines + json.dumps(ORDER).encode())
        session.socket.shutdown(socket.SHUT_WR)
        answers = session.rest().splitlines()
    assert len(answers) == lines + 1
    assert json.loads(answers[-1])["success"]


def test_cursor_from_nowhere_ends_and_harms_nobody(session: Session) -> None:
    session.ask(ORDER)
    found = session.ask({"action": "list", "cursor": "________", "cliente": "nobody"})
    assert (found["pedidos"], found["cursor"]) == ([], None)


@pytest.mark.intake
def test_foreign_lock_on_the_orders_refuses_orders_and_holds_up_nobody(intake: IntakeProcess) -> None:
    with intake.connect() as one, intake.connect() as other:
        stored = one.ask(ORDER)
        browser = connect(intake.data_dir / "orders.db")
        browser.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        for _ in range(5):
            refused = one.ask(ORDER)
            assert (refused["error"], refused["message"]) == ("db_error", "orders.db is locked by another program")
            assert other.ask(f"status {stored['id']}")["success"]
            assert other.ask("health")["status"] == "degraded"
        # Each order waited 5 s for the lock, and everybody else with it.
        assert time.monotonic() - began < 20.0
        browser.close()
        again = one.ask(ORDER)
        assert again["success"]
        assert int(again["id"][-12:], 16) == int(stored["id"][-12:], 16) + 1
        assert other.wait_until("stats", "stats.abiertos", 0)["stats"]["aceptados"] == 2


@pytest.mark.intake(REQUEST_ID_SCOPE="address")
def test_two_tills_that_count_from_one_do_not_get_each_others_orders(intake: IntakeProcess) -> None:
    order = '{"cliente":"%s","productos":["x"],"direccion":"d","request_id":1%s}'
    with intake.connect("127.0.0.1") as one, intake.connect("::1") as other:
        first, second = one.ask(order % ("Ana", "")), other.ask(order % ("Eva", ""))
        assert (first["success"], second["success"]) == (True, True)
        assert first["id"] != second["id"]
        assert one.ask(order % ("Ana", ""))["duplicate"]
        assert one.ask(f"status {first['id']}")["pedido"]["client_id"] == "127.0.0.1"
        # Who names a client has the same key wherever it comes from.
        named = ',"client_id":"till 3"'
        third = one.ask("[" + order % ("Zoe", named) + "]")[0]
        assert other.ask(order % ("Zoe", named))["id"] == third["id"]


def test_client_id_is_text_without_control_characters(session: Session) -> None:
    order = {"cliente": "a", "productos": ["x"], "direccion": "d", "request_id": 1}
    for client in ("", "a\x1fb", "x" * 129, 7):
        refused = session.ask({**order, "client_id": client})
        assert (refused["error"], refused["field"]) == ("invalid_params", "client_id")
    assert session.ask({**order, "client_id": "till 1"})["success"]


@pytest.mark.intake(MAX_PEDIDOS_EN_COLA=2, PROCESSING_SECONDS=600, SHUTDOWN_SECONDS=1)
def test_orders_without_room_and_conflicts_are_counted_as_refused(session: Session) -> None:
    line = '{"cliente":"a","productos":["x"],"direccion":"d","request_id":%d}\n'
    session.send(line % 1 + line % 2 + line % 3 + line % 4 + line.replace('"a"', '"b"') % 1 + line % 1)
    outcomes = [session.read().get("error", "ok") for _ in range(6)]
    assert outcomes == ["ok", "ok", "queue_full", "queue_full", "conflict", "ok"]
    exposition = session.ask("metrics")["metrics"]
    assert 'comanda_orders_refused_total{code="queue_full"} 2.0' in exposition
    assert 'comanda_orders_refused_total{code="conflict"} 1.0' in exposition


@pytest.mark.intake(MAX_ARRAY_ORDERS=1000)
def test_page_of_large_orders_ends_before_a_mebibyte(session: Session) -> None:
    products = [f"{number:04} {'x' * 195}" for number in range(1000)]
    for number in range(12):
        assert session.ask(json.dumps({"cliente": str(number), "productos": products, "direccion": "d"}))["success"]
    seen: list[str] = []
    cursor = ""
    while True:
        page = session.ask(f"list limite=200{cursor}")
        assert len(json.dumps(page, ensure_ascii=False)) < 2**20
        seen += [order["cliente"] for order in page["pedidos"]]
        if page["cursor"] is None:
            break
        cursor = f" cursor={page['cursor']}"
    assert seen == [str(number) for number in reversed(range(12))]
