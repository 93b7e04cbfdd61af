"""The command `loadtest`: runs the generator, shows progress, prints the result and the verdict."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import uvloop
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from clients.cli.target import Host, Port, target
from clients.intake import IntakeClient
from clients.loadtest import report
from clients.loadtest.generator import Generator
from clients.loadtest.measure import Measure
from clients.loadtest.verify import Verdict, verify
from clients.loadtest.workload import Workload, made_up_workload, read_workload

_REFRESH_SECONDS = 0.2
_DEFAULT_ORDERS = 10_000
_ANSWER_SECONDS = 60.0
_AT_LEAST_ONE = Number(gte=1)


def loadtest(
    *,
    input: Annotated[Path | None, Parameter(help="Orders to send, one a line; else made-up ones.")] = None,  # noqa: A002
    orders: Annotated[
        int | None, Parameter(validator=_AT_LEAST_ONE, help="How many; else those of the input, or 10,000.")
    ] = None,
    connections: Annotated[int, Parameter(alias="-c", validator=_AT_LEAST_ONE, help="Connections at a time.")] = 50,
    pipeline: Annotated[int, Parameter(validator=_AT_LEAST_ONE, help="Orders in flight on each connection.")] = 32,
    verify: Annotated[bool, Parameter(negative="", help="Look every acknowledged order up afterwards.")] = False,
    timeout: Annotated[
        float, Parameter(validator=Number(gte=0), help="Seconds that --verify waits for the last order.")
    ] = 120.0,
    host: Host = None,
    port: Port = None,
    json: Annotated[bool, Parameter(negative="", help="Print the result as one JSON line only.")] = False,
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
    measure = Measure(workload.size)
    generator = Generator(workload, measure, host=host, port=port, pipeline=pipeline)
    verdict: Verdict | None = None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    note = TextColumn("{task.fields[note]}")
    with Progress(*columns, note, console=Console(stderr=True), transient=True) as progress:
        showing = asyncio.create_task(_show_sending(progress, measure, workload.size))
        try:
            seconds = await generator.run(connections)
        finally:
            showing.cancel()
        if verify_seconds is not None:
            bar = progress.add_task("verifying", total=measure.accepted, note="")
            async with IntakeClient(host, port, timeout=_ANSWER_SECONDS) as client:
                verdict = await verify(
                    client,
                    workload,
                    measure,
                    seconds=verify_seconds,
                    progress=lambda checked: progress.update(bar, completed=checked),
                )
    if as_json or not sys.stdout.isatty():
        sys.stdout.write(msgspec.json.encode(report.members(measure, seconds, verdict)).decode() + "\n")
    if not as_json:
        console = Console(highlight=False, stderr=not sys.stdout.isatty())
        report.show(console, measure, seconds, verdict)
    return 0 if report.passed(measure, verdict) else 1


async def _show_sending(progress: Progress, measure: Measure, size: int) -> None:
    """Keeps a bar at what is settled, with the live rate, until it is cancelled."""
    bar = progress.add_task("sending", total=size, note="")
    before = 0
    try:
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            done = measure.settled
            progress.update(bar, completed=done, note=f"{(done - before) / _REFRESH_SECONDS:,.0f}/s")
            before = done
    finally:
        progress.update(bar, completed=measure.settled, note="")
