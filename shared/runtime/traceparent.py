"""The header `traceparent` of W3C Trace Context: it names the span of the caller, whose children ours are.

OpenTelemetry's propagator does not read it, since the gateway names requests after it also where OpenTelemetry, an
optional package, is not installed. A test compares the two.
"""

import re
from typing import NamedTuple

_HEADER = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_FIRST_VERSION = b"00"


class CallerSpan(NamedTuple):
    """The span of a caller: the id of its trace, as 32 hexadecimal digits, and its own id."""

    trace: str
    span_id: int


def parse_traceparent(value: bytes) -> CallerSpan | None:
    """Returns the caller's span, or None where the header is not valid. Later versions may have further parts."""
    match = _HEADER.fullmatch(value)
    if match is None or (match[4] is not None and match[1] == _FIRST_VERSION):
        return None
    return CallerSpan(match[2].decode(), int(match[3], 16))
