"""One trace from HTTP through intake and worker to the event."""

from pathlib import Path

import pytest

from shared.runtime.traces import derive_root_span
from tests.support.collector import Collector
from tests.support.http import Http
from tests.support.intake import DistributedProcess, GatewayProcess, IntakeProcess
from tests.support.orders import ORDER

SPANS = {
    "POST /api/v1/orders": "comanda-gateway",
    "order.accept": "comanda-intake",
    "order.attempt": "comanda-worker",
    "event order.accepted": "comanda-distributed",
    "event order.finished": "comanda-distributed",
}
CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OTHER_CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT, OTHER_TRACEPARENT = (f"00-{'-'.join(ids)}-01" for ids in (CALLER, OTHER_CALLER))


def test_an_order_is_one_trace(tmp_path: Path) -> None:
    with Collector() as collector:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
        with (
            IntakeProcess(tmp_path, settings) as intake,
            DistributedProcess(tmp_path, settings) as distributed,
            GatewayProcess(tmp_path, [intake, distributed], settings) as gateway,
        ):
            http = Http(gateway)
            named = http.post("/api/v1/orders", ORDER, X_Request_ID="my-request")
            called = http.post("/api/v1/orders", ORDER, traceparent=TRACEPARENT)
            both = http.post("/api/v1/orders", ORDER, X_Request_ID="their-request", traceparent=OTHER_TRACEPARENT)
            nameless = http.post("/api/v1/orders", ORDER)
            assert called.headers["x-request-id"] == CALLER[0]
            assert both.headers["x-request-id"] == "their-request"
            for reply in (named, called, both, nameless):
                name = reply.headers["x-request-id"]
                root_span = derive_root_span(name)
                spans = collector.wait_for(f"{root_span.trace_id:032x}", *SPANS)
                assert {span: spans[span].service for span in SPANS} == SPANS
                root = spans.pop("POST /api/v1/orders")
                assert root.id == f"{root_span.span_id:016x}"
                assert root.parent == (CALLER[1] if reply is called else "")
                assert {span.parent for span in spans.values()} == {root.id}
                assert {span.attributes["order"] for span in spans.values()} == {reply.json["id"]}
                if reply is both:
                    # It has a name of its own, and so a trace of its own: the caller's has a child that links to it.
                    (child,) = (span for span in collector.spans if span.links == [root.id])
                    assert (child.name, child.trace, child.parent) == (root.name, *OTHER_CALLER)
                    assert root.links == [child.id]
                else:
                    assert root.links == []


def test_a_collector_that_is_away_keeps_nobody_waiting(tmp_path: Path) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with IntakeProcess(tmp_path, settings) as intake, GatewayProcess(tmp_path, [intake], settings) as gateway:
        assert Http(gateway).post("/api/v1/orders", ORDER).status == 201
        assert gateway.terminate() == 0
        assert intake.terminate() == 0


@pytest.mark.parametrize(
    ("trace", "trace_id"),
    [(CALLER[0], int(CALLER[0], 16)), ("0" * 32, None), ("my-request", None), (CALLER[0].upper(), None)],
)
def test_a_name_has_one_place(trace: str, trace_id: int | None) -> None:
    root_span = derive_root_span(trace)
    assert root_span == derive_root_span(trace)
    assert 0 < root_span.trace_id < 2**128
    assert 0 < root_span.span_id < 2**64
    assert trace_id in (None, root_span.trace_id)
