"""The fault harness whatever becomes of its rounds: what they have shown is told, and no better report is lost."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos import __main__ as harness
from tests.chaos import report
from tests.chaos.chaos import Chaos, Missing, Outcome
from tests.chaos.history import Findings
from tests.chaos.rounds import ROUNDS

RELIABILITY = Path(__file__).parents[3] / "docs" / "RELIABILITY.md"


def hold(chaos: Chaos) -> None:
    chaos.outcome = Outcome(1, Findings(7, 0, [], [], [], [], [], [], {}), [0.5])


def miss(_: Chaos) -> None:
    raise Missing("strace injects faults")


def break_down(_: Chaos) -> None:
    raise OSError("no room")


def interrupt(_: Chaos) -> None:
    raise KeyboardInterrupt


def run_rounds(monkeypatch: pytest.MonkeyPatch, doc: Path, **rounds: Callable[[Chaos], None]) -> int:
    """Runs these rounds in the place of the real ones; results go to `doc`."""
    monkeypatch.setattr(harness, "ROUNDS", rounds)
    write = report.write
    monkeypatch.setattr(harness, "write", lambda file, rows: write(file, rows, doc.parent / "data"))
    monkeypatch.setattr(sys, "argv", ["chaos", "--report", str(doc)])
    return harness.main()


@pytest.mark.parametrize("last", [break_down, interrupt])
def test_rounds_go_on_after_a_failure_and_are_told_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], last: Callable[[Chaos], None]
) -> None:
    doc = tmp_path / "RELIABILITY.md"
    doc.write_text(before := RELIABILITY.read_text())
    assert run_rounds(monkeypatch, doc, one=hold, two=miss, three=break_down, four=last) == 1
    said = capsys.readouterr().out
    assert "left out: strace injects faults" in said
    assert "FAILED: OSError: no room" in said
    assert "7 orders acknowledged" in said
    assert doc.read_text() == before
    assert "| one | 7 | 0 | 1 |" in (tmp_path / "data" / "RELIABILITY.md").read_text()


def test_report_of_all_rounds_replaces_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doc = tmp_path / "RELIABILITY.md"
    doc.write_text(RELIABILITY.read_text())
    assert run_rounds(monkeypatch, doc, **dict.fromkeys(ROUNDS, hold)) == 0
    assert doc.read_text().count("| 7 | 0 | 1 |") == len(ROUNDS)
