"""The command `loadtest`: runs the generator, shows progress, prints the result and the verdict."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import uvloop
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from clients.cli.target import Host, Port, target
from clients.intake import IntakeClient
from clients.loadtest.generator import Generator
from clients.loadtest.measure import Measure
from clients.loadtest.verify import Verdict, verify
from clients.loadtest.workload import Workload, made_up_workload, read_workload

_REFRESH_SECONDS = 0.2
_SHOWN_IDS = 10
_DEFAULT_ORDERS = 10_000


def loadtest(
    *,
    input: Annotated[Path | None, Parameter(help="Orders to send, one a line; else made-up ones.")] = None,  # noqa: A002
    orders: Annotated[int | None, Parameter(help="How many; else those of the input, or 10,000.")] = None,
    connections: Annotated[int, Parameter(alias="-c", help="Connections at a time.")] = 50,
    pipeline: Annotated[int, Parameter(help="Orders in flight on each connection.")] = 32,
    verify: Annotated[bool, Parameter(negative="", help="Look every acknowledged order up afterwards.")] = False,
    timeout: Annotated[float, Parameter(help="Seconds that --verify waits for the last order.")] = 120.0,
    host: Host = None,
    port: Port = None,
    json: Annotated[bool, Parameter(negative="", help="Print the result as one JSON line.")] = False,
) -> int:
    """Put a server under load, and tell whether it holds. Exit status 1 when an order is lost or doubled."""
    workload = (
        made_up_workload(orders or _DEFAULT_ORDERS, keyed=verify)
        if input is None
        else read_workload(input, orders, keyed=verify)
    )
    run = _run(workload, *target(host, port), connections, pipeline, timeout if verify else None, as_json=json)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run)


async def _run(
    workload: Workload,
    host: str,
    port: int,
    connections: int,
    pipeline: int,
    verify_seconds: float | None,
    *,
    as_json: bool,
) -> int:
    console = Console(stderr=True)
    measure = Measure(workload.size)
    generator = Generator(workload, measure, host=host, port=port, pipeline=pipeline)
    verdict: Verdict | None = None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console, transient=True) as progress:
        bar = progress.add_task("sending", total=workload.size, note="")

        async def show() -> None:
            before = 0
            while True:
                await asyncio.sleep(_REFRESH_SECONDS)
                done = measure.settled
                progress.update(bar, completed=done, note=f"{(done - before) / _REFRESH_SECONDS:,.0f}/s")
                before = done

        shown = asyncio.create_task(show())
        try:
            seconds = await generator.run(connections)
        finally:
            shown.cancel()
        if verify_seconds is not None:
            check = progress.add_task("verifying", total=measure.accepted, note="")
            async with IntakeClient(host, port, timeout=verify_seconds) as client:
                verdict = await verify(
                    client,
                    workload,
                    measure,
                    seconds=verify_seconds,
                    progress=lambda checked: progress.update(check, completed=checked),
                )
    if as_json or not sys.stdout.isatty():
        sys.stdout.write(msgspec.json.encode(_members(measure, seconds, verdict)).decode() + "\n")
    if not as_json:
        _print(Console(highlight=False, stderr=not sys.stdout.isatty()), measure, seconds, verdict)
    return 0 if _passed(measure, verdict) else 1


def _passed(measure: Measure, verdict: Verdict | None) -> bool:
    refused = sum(measure.refused.values()) - measure.refused["queue_full"]
    return not refused and not measure.unknown and (verdict is None or verdict.passed)


def _members(measure: Measure, seconds: float, verdict: Verdict | None) -> dict[str, object]:
    return {
        "accepted": measure.accepted,
        "seconds": round(seconds, 3),
        "rate": round(measure.accepted / seconds, 1),
        "refused": measure.refused,
        "unknown": measure.unknown,
        "duplicates": measure.duplicates,
        "reconnections": measure.reconnections,
        "latency_ms": {name: round(value, 3) for name, value in measure.latency_ms()},
        "verdict": verdict,
        "passed": _passed(measure, verdict),
    }


def _print(console: Console, measure: Measure, seconds: float, verdict: Verdict | None) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("accepted", f"{measure.accepted:,} in {seconds:.2f} s")
    table.add_row("rate", f"[bold]{measure.accepted / seconds:,.0f} orders/s[/bold]")
    table.add_row("latency", "  ".join(f"{name} {value:.2f} ms" for name, value in measure.latency_ms()))
    for code, number in measure.refused.items():
        again = ", sent again each time" if code == "queue_full" else ""
        table.add_row("refused", f"{number:,} {code}{again}")
    if measure.unknown:
        table.add_row("unknown", f"{measure.unknown:,}: their connection broke before the answer")
    if measure.reconnections:
        table.add_row("reconnections", f"{measure.reconnections:,}; {measure.duplicates:,} orders were there already")
    console.print(table)
    if verdict is not None:
        _print_verdict(console, verdict)


def _print_verdict(console: Console, verdict: Verdict) -> None:
    if verdict.passed:
        console.print(f"[green]verified[/green]: {verdict.checked:,} orders are there once, unchanged and listo")
        return
    for name in ("lost", "doubled", "changed", "unfinished"):
        if ids := getattr(verdict, name):
            console.print(f"[red]{name}[/red]: {len(ids):,} orders, such as {', '.join(ids[:_SHOWN_IDS])}")
