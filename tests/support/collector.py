"""A collector of OpenTelemetry, as far as tests need one: keeps the spans that come over HTTP."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.intake import PATIENCE


class Span(NamedTuple):
    """One span; ids are hexadecimal."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, str]
    links: list[str]
    """The ids of spans in other traces."""


class Collector:
    """Listens for as long as the block lasts."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._changed = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector._take(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def _take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._changed:
            for resource in request.resource_spans:
                names = {one.key: one.value.string_value for one in resource.resource.attributes}
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        attributes = {one.key: one.value.string_value for one in span.attributes}
                        ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                        links = [link.span_id.hex() for link in span.links]
                        self.spans.append(Span(names["service.name"], span.name, *ids, attributes, links))
            self._changed.notify_all()

    def wait_for(self, trace: str, *names: str) -> dict[str, Span]:
        """Waits until a trace has spans of all these names; gives them by name."""

        def found() -> dict[str, Span]:
            return {span.name: span for span in self.spans if span.trace == trace}

        with self._changed:
            assert self._changed.wait_for(lambda: set(names) <= found().keys(), PATIENCE), self.spans
            return found()

    def __enter__(self) -> "Collector":
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
