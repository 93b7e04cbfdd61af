"""Traces: what each server did for a request, as spans that go to a collector by OTLP (OpenTelemetry, optional).

The `trace` of a request says where its spans belong: one of 32 hexadecimal digits is the trace's id itself, any other
name is hashed to one; and the span of the request as a whole, which is the parent of all others, has an id that
follows from the name as well. So nothing else than the name has to travel.
"""

import hashlib
import re
import time
from typing import Any, NamedTuple

from shared.domain.errors import StartupError

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_EXPORT_SECONDS = 2
_GATHER_MS = 1000


class Place(NamedTuple):
    """Where spans belong: the trace, and the span of the request as a whole."""

    trace_id: int
    root_id: int


def place_of(trace: str) -> Place:
    """The place that a request's name stands for."""
    digest = hashlib.sha256(trace.encode()).digest()
    trace_id = int(trace, 16) if _TRACE_ID.fullmatch(trace) else int.from_bytes(digest[:16], "big")
    return Place(trace_id, int.from_bytes(digest[16:24], "big"))


class Traces:
    """Sends the spans of `service` to the collector at `endpoint`, in batches and from another thread.

    Raises StartupError where OpenTelemetry is not installed.
    """

    def __init__(self, service: str, endpoint: str) -> None:
        try:
            # Only here: few want it, and it takes a while to load.
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
            """Random, but for the one span whose ids follow from the request's name."""

            root: Place | None = None

            def generate_trace_id(self) -> int:
                return self.root.trace_id if self.root is not None else super().generate_trace_id()

            def generate_span_id(self) -> int:
                return self.root.root_id if self.root is not None else super().generate_span_id()

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

    def root(self, name: str, trace: str, *, seconds: float, parent: int | None = None, **attributes: Any) -> None:
        """The span of a request as a whole, which has just ended; `parent` is the caller's own, if it named one."""
        place = place_of(trace)
        context = None if parent is None else self._within(place.trace_id, parent)
        self._ids.root = place
        try:
            self._record(name, context, time.time_ns(), seconds, self._api.SpanKind.SERVER, attributes)
        finally:
            self._ids.root = None

    def span(self, name: str, trace: str, *, seconds: float, **attributes: Any) -> None:
        """A span of what was done for a request, which has just ended."""
        place = place_of(trace)
        context = self._within(place.trace_id, place.root_id)
        self._record(name, context, time.time_ns(), seconds, self._api.SpanKind.INTERNAL, attributes)

    def close(self) -> None:
        """Sends what has gathered."""
        self._provider.shutdown()

    def _within(self, trace_id: int, span_id: int) -> Any:
        flags = self._api.TraceFlags(self._api.TraceFlags.SAMPLED)
        parent = self._api.SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
        return self._api.set_span_in_context(self._api.NonRecordingSpan(parent))

    def _record(self, name: str, context: Any, end: int, seconds: float, kind: Any, attributes: dict[str, Any]) -> None:
        begun = end - int(seconds * 1e9)
        span = self._tracer.start_span(name, context, kind=kind, start_time=begun, attributes=attributes)
        span.end(end)


def open_traces(service: str, endpoint: str | None) -> Traces | None:
    """Traces to a collector, or None where there is none. Raises StartupError."""
    return None if endpoint is None else Traces(service, endpoint)
