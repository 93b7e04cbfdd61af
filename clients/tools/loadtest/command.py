"""The command `loadtest`: runs the generator, shows progress, prints the result and the outcome."""

import asyncio
import contextlib
import datetime
import socket
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import uvloop
from cyclopts import Parameter
from cyclopts.validators import Number
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from clients.access import Target
from clients.cli.targets import Host, Port, resolve_target
from clients.errors import ClientError
from clients.intake import IntakeClient
from clients.tools.loadtest.console_report import print_result
from clients.tools.loadtest.generator import LoadGenerator
from clients.tools.loadtest.html_report import render_page
from clients.tools.loadtest.measurements import Measurements
from clients.tools.loadtest.plan import Plan
from clients.tools.loadtest.results import LoadTestResult, build_result, read_result
from clients.tools.loadtest.verification import VerificationResult, verify_orders
from clients.tools.loadtest.worker_killer import WorkerKiller
from clients.tools.loadtest.workload import Workload, generate_workload, read_workload

_REFRESH_SECONDS = 0.2
_DEFAULT_ORDERS = 10_000
# The rate of the stand-in handler by default: 2 workers with 1,000 concurrent orders of one second each.
_DEFAULT_RATE = 2000.0
_ANSWER_SECONDS = 60.0
_AT_LEAST_ONE = Number(gte=1)
_ABOVE_ZERO = Number(gt=0)
_FAMILIES = {
    "any": (socket.AF_UNSPEC,),
    "4": (socket.AF_INET,),
    "6": (socket.AF_INET6,),
    "both": (socket.AF_INET, socket.AF_INET6),
}


class _TestRun(Struct, frozen=True):
    """The validated parameters of the command."""

    workload: Workload
    plan: Plan
    target: Target
    verify_seconds: float | None
    chaos: bool


def run_loadtest(  # noqa: PLR0913 -- its parameters are the flags of the command
    *,
    input: Annotated[Path | None, Parameter(help="Orders to send, one a line; else made-up ones.")] = None,  # noqa: A002
    orders: Annotated[
        int | None, Parameter(validator=_AT_LEAST_ONE, help="How many; else those of the input, or 10,000.")
    ] = None,
    seconds: Annotated[
        float | None, Parameter(validator=_ABOVE_ZERO, help="Send for so long, instead of a number of orders.")
    ] = None,
    connections: Annotated[int, Parameter(alias="-c", validator=_AT_LEAST_ONE, help="Connections at a time.")] = 50,
    pipeline: Annotated[int, Parameter(validator=_AT_LEAST_ONE, help="Orders in flight on each connection.")] = 32,
    rate: Annotated[
        float | None,
        Parameter(validator=_ABOVE_ZERO, help="Orders a second, however slow the answers; else as fast as they come."),
    ] = None,
    family: Annotated[
        Literal["any", "4", "6", "both"], Parameter(help="IPv4, IPv6, or half of the connections over each.")
    ] = "any",
    verify: Annotated[
        bool, Parameter(negative="", show_default=False, help="Look every acknowledged order up afterwards.")
    ] = False,
    timeout: Annotated[
        float, Parameter(validator=Number(gte=0), help="Seconds that --verify waits for the last order.")
    ] = 120.0,
    chaos: Annotated[
        bool,
        Parameter(
            negative="", show_default=False, help="Kill workers of the server at random; it has to run on this machine."
        ),
    ] = False,
    report: Annotated[Path | None, Parameter(help="Write a page with pictures to this file.")] = None,
    baseline: Annotated[Path | None, Parameter(help="Compare with the result that --json gave another time.")] = None,
    host: Host = None,
    port: Port = None,
    json: Annotated[
        bool, Parameter(negative="", show_default=False, help="Print the result as one JSON line only.")
    ] = False,
) -> int:
    """Put a server under load, and assess whether it holds: exit status 0 if it does, and 1 if not.

    Without flags it sends 10,000 orders at 2,000 a second, the rate of the stand-in handler.
    """
    workload = generate_workload(keyed=verify) if input is None else read_workload(input, keyed=verify)
    if orders is None and seconds is None:
        if input is None and rate is None:
            rate = _DEFAULT_RATE
        orders = _DEFAULT_ORDERS if input is None else len(workload)
    plan = Plan(connections, pipeline, orders, seconds, rate, _FAMILIES[family])
    compared = None if baseline is None else read_result(baseline)
    if report is not None:
        _check_writable(report)
    where = resolve_target(host, port)
    test = _TestRun(workload, plan, where, timeout if verify else None, chaos)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(_run_test(test))
    if json or not sys.stdout.isatty():
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    if not json:
        print_result(Console(highlight=False, stderr=not sys.stdout.isatty()), result, compared)
    if report is not None:
        ended = datetime.datetime.now().astimezone()
        text = render_page(result, compared, target=f"{where.host} port {where.port}", ended=ended)
        report.write_text(text, encoding="utf-8")
    return 0 if result.passed else 1


def _check_writable(file: Path) -> None:
    """Raises ClientError before the run instead of after it."""
    try:
        file.touch()
    except OSError as error:
        raise ClientError(
            f"{file} cannot be written: {error.strerror}", hint="name another file with --report"
        ) from None


async def _run_test(test: _TestRun) -> LoadTestResult:
    measure = Measurements()
    generator = LoadGenerator(test.workload, measure, test.plan, target=test.target)
    verdict: VerificationResult | None = None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    note = TextColumn("{task.fields[note]}")
    with Progress(*columns, note, console=Console(stderr=True), transient=True) as progress:
        killer = WorkerKiller(test.target)
        if test.chaos:
            await killer.check_server()
        cpu = time.process_time()
        async with (
            _run_beside(_show_sending(progress, measure, test.plan)),
            _run_beside(killer.kill_workers() if test.chaos else None),
        ):
            seconds = await generator.run()
        cpu = time.process_time() - cpu
        if test.verify_seconds is not None:
            work = progress.add_task("processing", total=measure.accepted, note="")
            bar = progress.add_task("verifying", total=measure.accepted, note="")
            async with IntakeClient(*test.target, timeout=_ANSWER_SECONDS) as client:
                verdict = await verify_orders(
                    client,
                    test.workload,
                    measure,
                    seconds=test.verify_seconds,
                    working=lambda done: progress.update(work, completed=done),
                    progress=lambda checked: progress.update(bar, completed=checked),
                )
    return build_result(test.plan, measure, verdict, seconds=seconds, cpu_seconds=cpu, killed=killer.killed)


@contextlib.asynccontextmanager
async def _run_beside(work: Coroutine[Any, Any, None] | None) -> AsyncIterator[None]:
    """Runs `work` as a task for the duration of the block."""
    if work is None:
        yield
        return
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _show_sending(progress: Progress, measure: Measurements, plan: Plan) -> None:
    """Updates a progress bar with rate and latency until cancelled."""
    bar = progress.add_task("sending", total=plan.orders, note="")
    before = 0
    try:
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            done = measure.settled
            p99 = dict(measure.latency_ms())["p99"]
            note = f"{(done - before) / _REFRESH_SECONDS:,.0f}/s  p99 {p99:,.1f} ms"
            progress.update(bar, completed=done, note=note)
            before = done
    finally:
        progress.update(bar, completed=measure.settled, note="")
