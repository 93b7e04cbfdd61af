"""Benchmarks whatever is missing, fails or is interrupted: what was measured is written, and nothing better lost."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import __main__ as bench
from tests.benchmarks import report
from tests.benchmarks.accounts import AccountFigures
from tests.benchmarks.documents import count_rows, machine, replace_report
from tests.benchmarks.queues import __main__ as peers
from tests.benchmarks.queues import report as peers_report
from tests.benchmarks.queues.trials import Killed
from tests.benchmarks.recovery import BigStartFigures, RecoveryFigures
from tests.benchmarks.runs import Run
from tests.benchmarks.search import SearchFigures, Times
from tests.benchmarks.trials import EndToEnd, Footprint
from tests.support.dynamodb import DynamoServer

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without redis-server, beanstalkd, wrk and chromium."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("tests.benchmarks.dashboard._CHROMIUM", None)


def fail() -> None:
    raise RuntimeError("it did not start")


def interrupt() -> None:
    raise KeyboardInterrupt


def test_run_goes_on_after_a_failure_and_ends_at_an_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run()
    reached = []
    with run:
        assert run.measure("one", fail) is None
        assert run.measure("two", lambda: 2) == 2
        run.measure("three", interrupt)
        reached.append("four")
    assert not reached
    assert [fault.split(" at ")[0].split(":")[0] for fault in run.faults] == ["one failed", "interrupted"]
    assert "it did not start" in run.faults[0]
    assert "two: measured" in capsys.readouterr().out


def test_long_part_says_that_it_is_at_work(capsys: pytest.CaptureFixture[str]) -> None:
    said = threading.Event()

    class Telling(Run):
        def say(self, text: str) -> None:
            super().say(text)
            said.set()

    Telling(reminder_seconds=0.01).measure("a long part", lambda: said.wait(60))
    assert "measuring a long part" in capsys.readouterr().out


def test_machine_is_described_without_redis() -> None:
    assert any("no Redis" in line for line in machine("make bench"))


BEFORE = """\
| peer | rate |
|---|---|
| Comanda | 5 |
| Redis | 7 |
"""


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        (BEFORE.replace("7", "8"), True),
        (BEFORE + "| NATS | 1 |\n", True),
        (BEFORE.replace("| Redis | 7 |\n", ""), False),
        (BEFORE.replace("| 7 |", "| left out: it needs redis-server |"), False),
        (BEFORE.replace("rate", "another table"), False),
    ],
)
def test_report_with_fewer_rows_does_not_replace_the_one_before(tmp_path: Path, text: str, replaced: bool) -> None:
    doc = tmp_path / "DOC.md"
    doc.write_text(BEFORE)
    place = replace_report(doc, text, tmp_path / "data")
    assert place == (doc if replaced else tmp_path / "data" / "DOC.md")
    assert place.read_text() == text
    assert replaced or doc.read_text() == BEFORE


def test_every_table_of_the_reports_is_counted() -> None:
    for name, tables, rows in (("PERFORMANCE.md", 6, 40), ("PEERS.md", 3, 15), ("RELIABILITY.md", 1, 20)):
        found = count_rows((ROOT / "docs" / name).read_text())
        assert (len(found) >= tables, found.total() >= rows) == (True, True), (name, found)


# The benchmark as a whole, with fakes for what takes long.


def run_bench(monkeypatch: pytest.MonkeyPatch, folder: Path, **parts: Callable[[], Any]) -> int:
    """Runs it with these parts; the report that is there is a copy in `folder`."""
    for name, part in parts.items():
        monkeypatch.setattr(bench, name, lambda *_, part=part: part())
    (folder / "PERFORMANCE.md").write_text(report.DOC.read_text())
    monkeypatch.setattr(report, "DOC", folder / "PERFORMANCE.md")
    monkeypatch.setattr(report, "CHART", folder / "chart.svg")
    monkeypatch.setattr(DynamoServer, "missing", lambda: "ministack")
    monkeypatch.setattr(sys, "argv", ["bench", "--rounds", "2", "--json", str(folder / "data" / "bench.json")])
    return bench.main()


@pytest.mark.parametrize("last", [fail, interrupt])
def test_bench_without_tools_says_so_first_and_writes_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], last: Callable[[], None]
) -> None:
    before = report.DOC.read_text()
    status = run_bench(
        monkeypatch,
        tmp_path,
        _accept=lambda: 1000.0,
        end_to_end=lambda: EndToEnd(10, 900.0, 800.0, 1.0, 10.0, 11.0, 1.0),
        footprint=lambda: Footprint(0.5, 3.0, 10),
        recovery=lambda: RecoveryFigures(50, 2, 1.0, 0.5, 100.0),
        big_start=lambda: BigStartFigures(1000, 50, 0.5, 100.0),
        records=last,
        events=last,
        measure_search=lambda: SearchFigures(
            100,
            4500.0,
            9000.0,
            1.5,
            Times("edit", "edit", 9.0, 12.0),
            [Times(name, name, 1.0, 2.0) for name in ("search", "search with facets", "suggestions")],
            {},
        ),
        measure_lake=fail,
        accounts=lambda: AccountFigures(85.0, 282, 30.0, 20.0, 40.0, 40.0, 300.0, 310.0),
    )
    said = capsys.readouterr().out
    assert status == 1
    left_out = ["Redis Streams", "beanstalkd", "HTTP", "the bookstore", "stock", "the dashboard", "DynamoDB"]
    first = said.partition("round 1")[0]
    assert all(f"{name} is left out: it needs" in first for name in left_out), first
    assert (tmp_path / "PERFORMANCE.md").read_text() == before
    assert not (tmp_path / "chart.svg").exists()
    written = (tmp_path / "data" / "PERFORMANCE.md").read_text()
    assert "| Comanda | 32 | 1,000 | 1,000, 1,000 |" in written
    assert "start to first answer" in written
    assert ("| suggestions | 1.00 ms | 2.00 ms |" in written) == (last is fail)
    figures = json.loads((tmp_path / "data" / "bench.json").read_text())
    assert (figures["footprint"]["start_seconds"], figures["records"]) == (0.5, None)
    assert "is left as it is" in said


def test_bench_of_which_nothing_works_still_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts_of_all = ("_accept", "end_to_end", "footprint", "recovery", "big_start", "records", "events", "accounts")
    names = (*parts_of_all, "measure_search", "measure_lake")
    parts = dict.fromkeys(names, fail)
    assert run_bench(monkeypatch, tmp_path, **parts) == 1
    assert json.loads((tmp_path / "data" / "bench.json").read_text())["rates"] == []


def killed(**members: Any) -> Killed:
    return Killed(**{"jobs": 5, "stranded": 0, "lost": 0, "done_later": 0, "doubled": 0, "resumed": 0.1, **members})


@pytest.mark.parametrize("ends", [killed, fail, interrupt])
def test_peers_without_brokers_write_what_comanda_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ends: Callable[[], Any]
) -> None:
    doc = tmp_path / "PEERS.md"
    doc.write_text(before := peers_report.DOC.read_text())
    monkeypatch.setattr(peers_report, "DOC", doc)
    monkeypatch.setattr(peers, "end_to_end", lambda *_: EndToEnd(10, 900.0, 800.0, 1.0, 10.0, 11.0, 1.0))
    monkeypatch.setattr(peers, "kill_comanda", lambda *_: ends())
    words = ["peers", "--rounds", "1", "--later", "0", "--json", str(tmp_path / "data" / "peers.json")]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr("tests.benchmarks.queues.contenders.Nats._program", lambda: None)
    assert peers.main() == (0 if ends not in (fail, interrupt) else 1)
    said = capsys.readouterr().out
    assert said.partition("round 1")[0].count("is left out: it needs") == 5
    assert doc.read_text() == before
    assert "| Comanda | 100,000 | 800 | 800 |" in (tmp_path / "data" / "PEERS.md").read_text()


@pytest.mark.parametrize("module", ["tests.benchmarks.queues.__main__", "tests.benchmarks.__main__"])
def test_benchmarks_start_without_what_only_the_tests_need(module: str) -> None:
    """Their environments have neither a browser's driver nor what runs tests."""
    blocked = ("playwright", "pytest", "hypothesis", "mfusepy", "schemathesis")
    program = (
        f"import sys, importlib; sys.modules.update(dict.fromkeys({blocked})); importlib.import_module({module!r})"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
