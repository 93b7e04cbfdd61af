"""What people see on terminals of every width."""

import datetime

import pytest

from clients.cli.output import Output
from clients.replies import StoredOrder
from shared.domain.orders import Priority
from shared.domain.states import State

ID = "01a20785-bc40-7c4e-9aeb-000000000001"
IMPORT = {"id": ID, "state": "applied", "rows": 90_000, "applied": 90_000, "name": "a file with quite a long name.csv"}


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_rows_show_ids_and_values_as_a_whole(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    output = Output(json=False)
    output.json = False
    output.print_rows([IMPORT, IMPORT], "imports")
    shown = capsys.readouterr().out
    assert "…" not in shown
    lines = shown.splitlines()
    assert all(len(line) <= width for line in lines)
    assert "".join("".join(lines).split()).count("applied") >= 2
    if width >= 60:
        assert shown.count(ID) == 2


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_long_error_leaves_the_other_orders_on_the_screen(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    output = Output(json=False)
    output.json = False
    order = StoredOrder(
        id=ID,
        state=State.FAILED,
        customer="Ana",
        items=["pan"],
        address="Mayor 1",
        priority=Priority.NORMAL,
        attempts=3,
        received=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        detail="ValueError: " + "x" * 2000,
    )
    output.print_orders([order, order])
    shown = capsys.readouterr().out
    assert shown.count(ID) == 2
    assert len(shown.splitlines()) < 40
    output.print_order(order)
    assert capsys.readouterr().out.count("x") >= 2000
