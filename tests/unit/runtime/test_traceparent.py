"""The header `traceparent` is read as OpenTelemetry reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.runtime.traceparent import CallerSpan, parse_traceparent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEX = "0123456789abcdef"


def read_with_opentelemetry(header: str) -> CallerSpan | None:
    """The span that OpenTelemetry's propagator finds."""
    context = TraceContextTextMapPropagator().extract({"traceparent": header})
    span = trace.get_current_span(context).get_span_context()
    return CallerSpan(f"{span.trace_id:032x}", span.span_id) if span.is_valid else None


@pytest.mark.parametrize(
    ("header", "valid"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", True),
        (f"00-{TRACE}-{SPAN}-01-more", False),
        (f"01-{TRACE}-{SPAN}-01-more", True),
        (f"01-{TRACE}-{SPAN}-01", True),
        (f"01-{TRACE}-{SPAN}-01more", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f"00-{TRACE}-{SPAN}", False),
        ("", False),
    ],
)
def test_headers_are_read_as_w3c_has_them(header: str, valid: bool) -> None:
    expected = CallerSpan(TRACE, int(SPAN, 16)) if valid else None
    assert parse_traceparent(header.encode()) == expected == read_with_opentelemetry(header)


@given(
    st.tuples(
        st.sampled_from(["00", "01", "fe", "ff", "0", "000"]),
        st.text(HEX + "A", min_size=31, max_size=33) | st.just("0" * 32) | st.just(TRACE),
        st.text(HEX + "F", min_size=15, max_size=17) | st.just("0" * 16) | st.just(SPAN),
        st.text(HEX, min_size=1, max_size=3) | st.just("01"),
    ).map("-".join),
    st.sampled_from(["", "-", "-x", "x"]),
)
def test_every_header_is_read_as_opentelemetry_reads_it(header: str, rest: str) -> None:
    assert parse_traceparent((header + rest).encode()) == read_with_opentelemetry(header + rest)
