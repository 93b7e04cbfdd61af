"""Traces: spans of each server's work for a request, sent to a collector by OTLP (OpenTelemetry, optional).

The `trace` of a request determines where its spans belong. A trace of 32 hexadecimal digits is the id of the trace
itself; any other name is hashed to one. The root span, the parent of all others, has an id that is computed from the
name as well. So no other value has to be passed on between servers.
"""

import hashlib
import re
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from shared.domain.errors import StartupError
from shared.runtime.traceparent import CallerSpan

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_EXPORT_SECONDS = 2
_GATHER_MS = 1000


class RootSpan(NamedTuple):
    """The ids of the span of a whole request, and of its trace."""

    trace_id: int
    span_id: int


def derive_root_span(trace: str) -> RootSpan:
    """Returns the root span of the request with this name; always the same one."""
    digest = hashlib.sha256(trace.encode()).digest()
    trace_id = int(trace, 16) if _TRACE_ID.fullmatch(trace) else int.from_bytes(digest[:16], "big")
    return RootSpan(trace_id, int.from_bytes(digest[16:24], "big"))


class Traces:
    """Sends the spans of `service` to the collector at `endpoint`, in batches and from another thread.

    Raises StartupError where OpenTelemetry is not installed.
    """

    def __init__(self, service: str, endpoint: str) -> None:
        try:
            # Only here: it is optional, and takes a while to load.
            from opentelemetry import trace  # noqa: PLC0415
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
            from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415
        except ImportError:
            raise StartupError(
                "OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry is not installed",
                hint="pip install '.[traces]'; or unset it",
            ) from None

        class Ids(RandomIdGenerator):
            """Random ids, except those of a root span."""

            root: RootSpan | None = None

            def generate_trace_id(self) -> int:
                return self.root.trace_id if self.root is not None else super().generate_trace_id()

            def generate_span_id(self) -> int:
                return self.root.span_id if self.root is not None else super().generate_span_id()

        self._ids = Ids()
        self._api = trace
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": f"comanda-{service}"}),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=_EXPORT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_GATHER_MS))
        self._tracer = self._provider.get_tracer("comanda")

    def record_request(
        self, name: str, trace: str, *, seconds: float, caller: CallerSpan | None = None, **attributes: Any
    ) -> None:
        """Records the root span of a request that has just ended, as a child of the span of its `caller`.

        A caller that named the request otherwise than its own trace has two spans, which link to each other: a child in
        its trace, and the root span of the request's own trace.
        """
        end = time.time_ns()
        root = derive_root_span(trace)
        parent = None if caller is None else self._context_of(int(caller.trace, 16), caller.span_id)
        links = []
        if caller is not None and int(caller.trace, 16) != root.trace_id:
            own = self._api.Link(self._span_context(*root))
            links.append(self._api.Link(self._record(name, parent, end, seconds, attributes, server=True, links=[own])))
            parent = None
        self._ids.root = root
        try:
            self._record(name, parent, end, seconds, attributes, server=True, links=links)
        finally:
            self._ids.root = None

    def record_span(self, name: str, trace: str, *, seconds: float, **attributes: Any) -> None:
        """Records a span of work for a request; the work has just ended."""
        self._record(name, self._context_of(*derive_root_span(trace)), time.time_ns(), seconds, attributes)

    def close(self) -> None:
        """Sends what has gathered."""
        self._provider.shutdown()

    def _span_context(self, trace_id: int, span_id: int) -> Any:
        flags = self._api.TraceFlags(self._api.TraceFlags.SAMPLED)
        return self._api.SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)

    def _context_of(self, trace_id: int, span_id: int) -> Any:
        """The context whose spans are children of this one."""
        return self._api.set_span_in_context(self._api.NonRecordingSpan(self._span_context(trace_id, span_id)))

    def _record(
        self,
        name: str,
        parent: Any,
        end: int,
        seconds: float,
        attributes: dict[str, Any],
        *,
        server: bool = False,
        links: Sequence[Any] = (),
    ) -> Any:
        """Records a span that ended at `end`, in nanoseconds; returns its context."""
        kind = self._api.SpanKind.SERVER if server else self._api.SpanKind.INTERNAL
        begun = end - int(seconds * 1e9)
        span = self._tracer.start_span(name, parent, kind=kind, start_time=begun, attributes=attributes, links=links)
        span.end(end)
        return span.get_span_context()


def open_traces(service: str, endpoint: str | None) -> Traces | None:
    """Returns traces to a collector, or None without one. Raises StartupError."""
    return None if endpoint is None else Traces(service, endpoint)
