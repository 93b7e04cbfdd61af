"""Charts as SVG: lines over time, and bars by name. The page's style sheet defines the colours."""

import html
import math
from collections.abc import Callable, Sequence

from msgspec import Struct

_WIDTH, _HEIGHT = 760, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 16, 14, 34
_BAR = 30


class LineSeries(Struct, frozen=True):
    """A line with a value for each interval of `seconds`; None for a missing value."""

    name: str
    style: str
    """A class of the page's style sheet."""
    seconds: float
    values: Sequence[float | None]


class BarItem(Struct, frozen=True):
    """A bar and the label beside it."""

    name: str
    style: str
    value: float
    text: str


def render_lines(title: str, unit: str, drawn: Sequence[LineSeries]) -> str:
    """Returns a chart with lines over time; its scale starts at zero."""
    span = max((line.seconds * len(line.values) for line in drawn), default=0.0) or 1.0
    highest = max((value for line in drawn for value in line.values if value is not None), default=0.0)
    ticks = _choose_ticks(highest)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def x_position(seconds: float) -> float:
        return _LEFT + (right - _LEFT) * seconds / span

    def y_position(value: float) -> float:
        return bottom - (bottom - _TOP) * value / ticks[-1]

    parts = [_open_svg(title, _WIDTH, _HEIGHT)]
    for tick in ticks:
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y_position(tick):.1f}" y2="{y_position(tick):.1f}"/>'
        )
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y_position(tick) + 4:.1f}" text-anchor="end">{_format_number(tick)}</text>'
        )
    for tick in _choose_ticks(span, inside=True):
        parts.append(
            f'<text x="{x_position(tick):.1f}" y="{bottom + 20}" text-anchor="middle">{_format_number(tick)} s</text>'
        )
    for line in drawn:
        parts += [
            f'<polyline class="{line.style}" points="{" ".join(points)}"/>'
            for points in _list_segments(line, lambda at, value: f"{x_position(at):.1f},{y_position(value):.1f}")
        ]
    keys = "".join(f'<li><i class="{line.style}"></i>{html.escape(line.name)}</li>' for line in drawn)
    return _render_figure(title, f"{unit}", "".join([*parts, "</svg>"]), keys)


def render_bars(title: str, unit: str, drawn: Sequence[BarItem]) -> str:
    """Returns a chart with horizontal bars."""
    height = _TOP + _BAR * len(drawn) + _TOP
    highest = max((bar.value for bar in drawn), default=0.0) or 1.0
    room = _WIDTH - _RIGHT - _LEFT - 150
    parts = [_open_svg(title, _WIDTH, height)]
    for place, bar in enumerate(drawn):
        top = _TOP + _BAR * place
        width = max(room * bar.value / highest, 1.0)
        parts.append(f'<text x="{_LEFT - 8}" y="{top + 17}" text-anchor="end">{html.escape(bar.name)}</text>')
        parts.append(
            f'<rect class="{bar.style}" x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR - 8}" rx="3"/>'
        )
        parts.append(f'<text x="{_LEFT + width + 8:.1f}" y="{top + 17}">{html.escape(bar.text)}</text>')
    return _render_figure(title, unit, "".join([*parts, "</svg>"]), "")


def _list_segments(line: LineSeries, point: Callable[[float, float], str]) -> list[list[str]]:
    """Returns the points of a line, split where values are missing."""
    found: list[list[str]] = [[]]
    for index, value in enumerate(line.values):
        if value is None:
            found.append([])
        else:
            found[-1].append(point((index + 0.5) * line.seconds, value))
    # A line needs two points to be visible.
    return [points * 2 if len(points) == 1 else points for points in found if points]


def _choose_ticks(highest: float, *, inside: bool = False) -> list[float]:
    """Returns round numbers from zero to `highest`, and the next one above unless `inside`."""
    if highest <= 0:
        return [0.0, 1.0]
    rough = highest / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    last = math.floor(highest / step) if inside else math.ceil(highest / step)
    return [step * number for number in range(last + 1)]


def _format_number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:g}"


def _open_svg(title: str, width: int, height: int) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(title)}">'


def _render_figure(title: str, unit: str, picture: str, keys: str) -> str:
    legend = f"<ul>{keys}</ul>" if keys else ""
    return f"<figure><figcaption><b>{html.escape(title)}</b> {html.escape(unit)}{legend}</figcaption>{picture}</figure>"
