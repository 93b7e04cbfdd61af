"""What people see of times, durations and nested values, and what the help says of each flag."""

import datetime
from collections.abc import Iterator

import pytest
from cyclopts import App

from clients.cli import display
from clients.cli.app import app
from clients.cli.output import Output
from clients.cli.times import parse_time, to_microseconds, to_wire
from clients.errors import WrongUsage
from clients.replies import StoredOrder
from shared.domain.orders import Item, Priority
from shared.domain.states import State

YEAR_MS = 365.25 * 86_400_000


@pytest.mark.parametrize(
    ("milliseconds", "told"),
    [
        (0.4, "0.40 ms"),
        (217.088, "217 ms"),
        (4_736, "4.7 s"),
        (90_000, "90 s"),
        (2_280_000, "38 min"),
        (7_200_000, "2.0 h"),
        (4 * 86_400_000, "4.0 days"),
        (3_097 * YEAR_MS, "3,097 years"),
    ],
)
def test_durations_are_told_in_the_unit_that_fits(milliseconds: float, told: str) -> None:
    assert display.format_duration(milliseconds) == told


def test_values_are_told_without_braces() -> None:
    members = {
        "espera_ms": {"p50": 4.736, "p95": None},
        "uptime_s": 36.6,
        "workers": [{"id": "w1", "en_mano": 0}, {"id": "w2", "en_mano": 1}],
        "reparaciones": [],
        "timestamp": "2026-11-27T14:01:46.124890Z",
        "leida": False,
        "name": "a\x1b[31m",
    }
    assert dict(display.format_members(members)) == {
        "espera": "p50 4.74 ms, p95 -",
        "uptime": "37 s",
        "workers": "id w1, en_mano 0\nid w2, en_mano 1",
        "reparaciones": "-",
        "timestamp": "2026-11-27T14:01:46Z",
        "leida": "no",
        "name": r"a\x1b[31m",
    }


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("2030-01-31", "2030-01-31T00:00:00Z"),
        ("2030-01-31T08:00:00Z", "2030-01-31T08:00:00Z"),
        ("2030-01-31T08:00:00+02:00", "2030-01-31T06:00:00Z"),
        ("2030-01-31 08:00:00.5", "2030-01-31T08:00:00.500000Z"),
    ],
)
def test_times_are_read_as_they_are_shown_and_as_days(text: str, wire: str) -> None:
    moment = parse_time(text, "--desde")
    assert to_wire(moment) == wire
    assert to_microseconds(moment) == round(moment.timestamp() * 1e6)
    assert parse_time(display.format_time(moment), "--desde") == moment.replace(microsecond=0)


def test_a_refused_time_comes_with_an_example() -> None:
    with pytest.raises(WrongUsage) as refused:
        parse_time("tomorrow", "--no-antes-de")
    assert "--no-antes-de 'tomorrow'" in refused.value.message
    assert "2030-01-31T08:00:00Z" in str(refused.value.hint)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_orders_are_aligned_and_their_names_can_be_read(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    output = Output(json=False)
    output.json = False
    order = StoredOrder(
        id="01a20785-bc40-7c4e-9aeb-000000000001",
        state=State.QUEUED,
        customer="María José Pérez",
        items=["pan", Item("Echo Dot (5th generation)", 80)],
        address="Mayor 1",
        priority=Priority.NORMAL,
        attempts=0,
        received=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    )
    output.print_orders([order, order])
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert all(len(line) <= width for line in lines)
    assert shown.count("2026-01-01T00:00:00Z") == 2
    assert shown.count("María José Pérez") == 2
    if width >= 80:
        columns = {line.find("cliente") for line in lines if "cliente" in line}
        assert {line.find("María") for line in lines if "María" in line} == columns
    output.print_orders([])
    assert capsys.readouterr().out == "none\n"


@pytest.mark.parametrize(
    "row",
    [
        {
            "id": 7,
            "timestamp": "2026-11-27T14:02:33.409813Z",
            "type": "warning",
            "leida": False,
            "message": "word " * 20,
        },
        {"store": "Berlin", "item": "a name " * 8, "count": 7, "changed": "2026-11-27T14:02:33.409813Z"},
    ],
    ids=["notification", "item"],
)
def test_tables_fit_80_columns_and_keep_times_whole(
    row: dict[str, object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    output = Output(json=False)
    output.json = False
    output.print_rows([row, row])
    lines = capsys.readouterr().out.splitlines()
    assert all(name in lines[0] for name in row)
    assert all(len(line) <= 80 for line in lines)
    assert sum("2026-11-27T14:02:33Z" in line for line in lines) == 2


def commands(found: App, path: str = "") -> Iterator[tuple[str, App]]:
    """Every command below an app, by what is typed."""
    for name in found:
        if not name.startswith("-"):
            inner = found[name]
            yield f"{path} {name}".strip(), inner
            yield from commands(inner, f"{path} {name}")


@pytest.mark.parametrize(("name", "command"), [pytest.param(*one, id=one[0]) for one in commands(app)])
def test_every_argument_is_described(name: str, command: App) -> None:
    if command.default_command is not None:
        arguments = command.assemble_argument_collection(parse_docstring=True)
        shown = [one for one in arguments if one.show and one.parameter.parse is not False]
        assert not [one.name for one in shown if not one.parameter.help]
