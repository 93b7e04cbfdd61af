"""A stop that takes its time: the time has an end, a second signal shortens it, and nothing is lost."""

import signal
import socket
import time
from pathlib import Path

import pytest

from tests.support.intake import PATIENCE, DistributedProcess, GatewayProcess, IntakeProcess, PersistenceProcess

ENDLESS = 10 * PATIENCE
ORDER = '{"cliente":"Ana","productos":["pan"],"direccion":"Mayor 1"}'
UPLOAD = (
    b"POST /items/upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nExpect: 100-continue\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def test_an_intake_hands_back_what_runs_at_a_second_signal(tmp_path: Path) -> None:
    settings = {"PROCESSING_SECONDS": ENDLESS, "ORDER_TIMEOUT_SECONDS": ENDLESS, "SHUTDOWN_SECONDS": ENDLESS}
    intake = IntakeProcess(tmp_path, {**settings, "WORKER_COUNT": 1})
    with intake:
        with intake.connect() as session:
            order = session.ask(ORDER)["id"]
            session.wait_until(f"status {order}", "pedido.estado", "en proceso")
        intake.send_signal(signal.SIGTERM)
        intake.wait_for_log("stopping")
        assert intake.terminate() == 0
        assert intake.wait_for_log("stopped")["en_cola"] == 1
        intake.start()
        with intake.connect() as session:
            session.wait_until(f"status {order}", "pedido.estado", "en proceso")
        intake.kill()


@pytest.mark.parametrize(("seconds", "signals"), [(1.0, 1), (ENDLESS, 2)])
def test_an_upload_that_does_not_end_is_answered_and_does_not_hold_up_the_stop(
    tmp_path: Path, seconds: float, signals: int
) -> None:
    servers = [IntakeProcess(tmp_path), PersistenceProcess(tmp_path), DistributedProcess(tmp_path)]
    gateway = GatewayProcess(tmp_path, servers, {"SHUTDOWN_SECONDS": seconds})
    with gateway, socket.create_connection(("127.0.0.1", gateway.port), PATIENCE) as uploading:
        uploading.sendall(UPLOAD)
        # Somebody reads it by now.
        assert b"100 Continue" in uploading.recv(1000)
        gateway.send_signal(signal.SIGTERM)
        refuse_connections(gateway)
        if signals == 2:
            gateway.send_signal(signal.SIGTERM)
            assert gateway.wait() == 0
        else:
            with uploading.makefile("rb") as answer:
                assert b" 503 " in answer.readline()
            assert gateway.wait() == 0
        assert not [entry for entry in gateway.log if "Traceback" in str(entry)]


def refuse_connections(gateway: GatewayProcess) -> None:
    """Waits until a gateway is stopping."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", gateway.port), PATIENCE).close()
        except ConnectionError:
            return
    pytest.fail("it goes on listening")
