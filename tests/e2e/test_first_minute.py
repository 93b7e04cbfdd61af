"""What a newcomer does in the first minute, over a real socket."""

import socket

import pytest

from tests.support.intake import IntakeProcess, Session

pytestmark = pytest.mark.shared_intake

PASTED = """\
{
  "cliente": "Juan Pérez",
  "productos": ["pan", "agua"],
  "direccion": "Av. Siempre Viva 742"
}
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_pasted_order_becomes_listo(intake: IntakeProcess, host: str) -> None:
    with intake.connect(host) as session:
        assert session.hello["event"] == "hello"
        session.send(PASTED.replace("\n", "\r\n"))
        answer = session.read()
        assert answer["success"] is True
        assert answer["estado"] == "en cola"
        assert answer["posicion"] == 1
        order = session.wait_until(f"status {answer['id']}", "pedido.estado", "listo")["pedido"]
        assert order["cliente"] == "Juan Pérez"
        assert order["productos"] == ["pan", "agua"]
        assert order["recibido"] <= order["fecha_inicio"] <= order["fecha_fin"]


def test_explain_tells_every_step_in_order(session: Session) -> None:
    order_id = session.ask('{"cliente":"a","productos":["x"],"direccion":"d"}')["id"]
    session.wait_until(f"status {order_id}", "pedido.estado", "listo")
    story = session.ask(f"explain {order_id}")
    assert [step["paso"] for step in story["pasos"]] == ["received", "stored", "queued", "started", "finished"]
    assert [step["ms"] for step in story["pasos"]] == sorted(step["ms"] for step in story["pasos"])
    assert story["worker"].startswith("w")


def test_help_is_text_for_people_and_json_for_programs(session: Session) -> None:
    shown = session.read_help()
    assert shown.splitlines()[0].startswith("Paste an order as JSON")
    assert "help order" in shown
    about_orders = session.read_help("help order")
    assert '"cliente": ' in about_orders
    # What it shows is an order.
    assert session.ask(about_orders.partition("For example:")[2])["estado"] == "en cola"
    assert session.ask("help nothing")["error"] == "invalid_params"
    # The action has the same in JSON.
    answer = session.ask({"action": "help", "topic": "order", "request_id": 7})
    assert (answer["request_id"], set(answer)) == (7, {"success", "request_id", "help", "example"})
    assert session.ask({"action": "help"})["help"][1].startswith("help order ")


def test_one_shot_client_reads_its_answer_and_the_end_of_the_stream(intake: IntakeProcess) -> None:
    with intake.connect() as session:
        session.send('{"cliente":"a","productos":["x"],"direccion":"d"}')
        assert session.read()["success"] is True
        assert session.at_end()


def test_client_that_closes_its_side_first_gets_every_answer(intake: IntakeProcess) -> None:
    with intake.connect() as session:
        session.send('{"cliente":"a","productos":["x"],"direccion":"d"}\nstats\nping')
        session.socket.shutdown(socket.SHUT_WR)
        assert session.read()["estado"] == "en cola"
        assert "stats" in session.read()
        assert session.read()["pong"] is True
        assert session.at_end()


def test_http_on_the_wrong_port_is_told_so(intake: IntakeProcess) -> None:
    with intake.connect() as session:
        session.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while chunk := session.socket.recv(4096):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"telnet" in answer


def test_watch_tells_the_whole_life_of_an_order(intake: IntakeProcess, session: Session) -> None:
    with intake.connect() as watcher:
        assert watcher.ask("watch")["watching"] == "all"
        order_id = session.ask('{"cliente":"a","productos":["x"],"direccion":"d"}')["id"]
        events = [watcher.read() for _ in range(3)]
    assert [event["event"] for event in events] == ["order.accepted", "order.started", "order.finished"]
    assert {event["id"] for event in events} == {order_id}


def test_answers_come_in_the_order_of_the_requests(session: Session) -> None:
    order = '{"cliente":"a","productos":["x"],"direccion":"d","request_id":%d}\n'
    requests = "".join(
        order % number + f'{{"action":"list","limite":1,"request_id":{-number}}}\n' for number in range(1, 50)
    )
    session.send(requests)
    seen = [session.read()["request_id"] for _ in range(98)]
    assert seen == [sign * number for number in range(1, 50) for sign in (1, -1)]


@pytest.mark.intake(MAX_PEDIDOS_EN_COLA=5, PROCESSING_SECONDS=600, SHUTDOWN_SECONDS=1)
def test_bound_holds_exactly_and_tells_when_to_come_back(session: Session) -> None:
    line = '{"cliente":"a","productos":["x"],"direccion":"d"}\n'
    session.send(line * 4 + f"[{','.join([line.strip()] * 3)}]\n" + line)
    answers = [session.read() for _ in range(4)] + session.read() + [session.read()]
    assert [answer["success"] for answer in answers] == [True] * 5 + [False] * 3
    refused = answers[-1]
    assert refused["error"] == "queue_full"
    assert (refused["depth"], refused["limit"]) == (5, 5)
    assert refused["retry_after_ms"] > 0
    assert [answer["posicion"] for answer in answers[:5]] == [1, 2, 3, 4, 5]


def test_many_silent_connections_do_not_disturb_the_others(intake: IntakeProcess) -> None:
    idle = [intake.connect() for _ in range(200)]
    with intake.connect() as session:
        assert session.ask("ping")["pong"] is True
    for connection in idle:
        connection.close()
