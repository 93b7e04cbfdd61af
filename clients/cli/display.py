"""Formats of values on terminals: times, durations, nested members."""

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any

from clients.cli.text import make_printable

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
# Units of durations: name, exclusive upper limit in seconds, size in seconds.
_UNITS = (
    ("s", 120, 1.0),
    ("min", 7200, 60.0),
    ("h", 172_800, 3600.0),
    ("days", 63_115_200, 86_400.0),
    ("years", float("inf"), 31_557_600.0),
)
_NOTHING = "-"


def format_time(moment: datetime.datetime) -> str:
    """Returns a time in UTC to the second, in the form that every flag takes, such as 2030-01-31T08:00:00Z."""
    return f"{moment.astimezone(datetime.UTC):%FT%TZ}"


def format_duration(milliseconds: float) -> str:
    """Returns a duration in its unit: `0.45 ms`, `12 ms`, `4.7 s`, `38 min`, `3,097 years`."""
    if milliseconds < 1000:
        return f"{milliseconds:.2f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    name, size = next((name, size) for name, limit, size in _UNITS if seconds < limit)
    return f"{seconds / size:,.1f} {name}" if seconds / size < 10 else f"{seconds / size:,.0f} {name}"


def format_start(milliseconds: int) -> str:
    """Returns the estimated time until the start of an order, in words."""
    return "starts at once" if milliseconds == 0 else f"starts in about {format_duration(milliseconds)}"


def is_time(value: object) -> bool:
    """Whether a value is a time in the format of the wire."""
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def format_value(value: Any) -> str:
    """Returns a value of an answer without braces and quotes, with control characters escaped."""
    match value:
        case None:
            return _NOTHING
        case bool():
            return "yes" if value else "no"
        case datetime.datetime():
            return format_time(value)
        case str():
            return format_time(datetime.datetime.fromisoformat(value)) if is_time(value) else make_printable(value)
        case Mapping():
            return (
                ", ".join(f"{make_printable(str(name))} {format_value(one)}" for name, one in value.items()) or _NOTHING
            )
        case Sequence():
            return ("\n" if any(isinstance(one, Mapping) for one in value) else ", ").join(
                map(format_value, value)
            ) or _NOTHING
    return make_printable(str(value))


def format_members(members: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns names and formatted values of an answer; members that end in `_ms` or `_s` become durations."""
    return [_format_member(name, value) for name, value in members.items()]


def _format_member(name: str, value: Any) -> tuple[str, str]:
    for ending, factor in (("_ms", 1.0), ("_s", 1000.0)):
        if name.endswith(ending):
            return name.removesuffix(ending), _format_durations(value, factor)
    return name, format_value(value)


def _format_durations(value: Any, factor: float) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_format_durations(one, factor)}" for name, one in value.items())
    return format_duration(value * factor) if isinstance(value, int | float) else format_value(value)
