"""What is measured: jobs a second from the first sent to the last done, and what a kill of all workers costs."""

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from tests.benchmarks.driver import drive
from tests.benchmarks.peers import Comanda
from tests.benchmarks.queues.contenders import Contender
from tests.benchmarks.queues.running import POLL_SECONDS, Running, running, wait_while_moving
from tests.benchmarks.runs import Run
from tests.support.intake import Session

_SPEED_PATIENCE = 5.0
KILL_AT = (0.2, 0.4, 0.6)
"""All workers are killed each time another of these parts is done."""


class Killed(NamedTuple):
    """What became of the jobs of one queue whose workers were all killed, several times."""

    jobs: int
    stranded: int
    """Not done when nothing had moved for a while, though the broker still has them."""
    lost: int
    """Not done, and nobody has them any more."""
    done_later: int
    """Of these, done after all when they were waited for much longer."""
    doubled: int
    """Done more than once; for Comanda: recorded final more than once."""
    resumed: float | None
    """Seconds from the kill to the next job done, at the worst; None when there was no next one."""
    begun_again: int = 0
    """Jobs that were begun more than once, as far as the queue tells."""


def speed(contender: Contender, jobs: int) -> float:
    """Jobs a second from the first sent to the last done."""
    with running(contender) as queue:
        began = queue.send(0, jobs)
        queue.sent()
        wait_while_moving(lambda: len(queue.done()), jobs, _SPEED_PATIENCE)
        done = queue.done()
        if len({job.number for job in done}) < jobs:
            raise RuntimeError(f"{contender.name} did {len(done)} jobs of {jobs} and then no more")
        return jobs / (max(job.at for job in done) - began)


def kill_contenders(
    run: Run, kills: dict[str, Killed], contenders: Iterable[Contender], jobs: int, patience: float, later: float
) -> None:
    """Kills all workers of each queue in turn; then waits a while for what comes back, of all of them at once.

    Adds to `kills` what became of each queue as soon as it is known.
    """
    with contextlib.ExitStack() as stack:
        queues: dict[str, Running] = {}
        for contender in contenders:

            def kill(contender: Contender = contender) -> Killed:
                queue = stack.enter_context(running(contender))
                found = _kill(queue, jobs, patience)
                queues[contender.name] = queue
                return found

            if (found := run.measure(f"{contender.name}, workers killed", kill)) is not None:
                kills[contender.name] = found
        run.say(f"waiting {later:.0f} s for stranded jobs")
        deadline = time.monotonic() + later
        try:
            while time.monotonic() < deadline and any(_undone(queue, jobs) for queue in queues.values()):
                time.sleep(POLL_SECONDS)
        finally:
            for name, queue in queues.items():
                before = kills[name]
                came_back = before.stranded + before.lost - _undone(queue, jobs)
                kills[name] = before._replace(done_later=came_back, doubled=_doubled(queue))


def _kill(queue: Running, jobs: int, patience: float) -> Killed:
    kills = []
    queue.send(0, jobs)
    for share in KILL_AT:
        wait_while_moving(lambda: len(queue.done()), int(share * jobs), patience)
        queue.kill_workers()
        kills.append(time.monotonic())
        queue.restart_workers()
    queue.sent()
    wait_while_moving(lambda: jobs - _undone(queue, jobs), jobs, patience)
    times = [job.at for job in queue.done()]
    pauses = [min((at - kill for at in times if at > kill), default=None) for kill in kills]
    undone = _undone(queue, jobs)
    lost = max(undone - queue.held(), 0)
    return Killed(jobs, undone - lost, lost, done_later=0, doubled=_doubled(queue), resumed=_worst(pauses))


def _worst(pauses: Sequence[float | None]) -> float | None:
    known = [pause for pause in pauses if pause is not None]
    return max(known) if len(known) == len(pauses) else None


def _undone(queue: Running, jobs: int) -> int:
    return jobs - len({job.number for job in queue.done()})


def _doubled(queue: Running) -> int:
    return sum(times > 1 for times in Counter(job.number for job in queue.done()).values())


def kill_comanda(orders: Sequence[bytes], number: int, patience: float) -> Killed:
    """Kills all of Comanda's workers in the middle of so many orders, as often as the queues'."""
    server = Comanda()
    pauses = []
    with server.running(), Session("127.0.0.1", server.port) as session, ThreadPoolExecutor(1) as sender:
        sending = sender.submit(
            drive, server.port, server.dialect(orders), connections=50, window=32, seconds=60, limit=number
        )
        for share in KILL_AT:
            wait_while_moving(lambda: _listo(session), int(share * number), patience)
            pauses.append(_kill_workers(session, patience))
        answered = sending.result().answers
        wait_while_moving(lambda: _listo(session), answered, patience)
        stored = _stored(session)
        final = sum(order["estado"] == "listo" for order in stored.values())
        return Killed(
            jobs=answered,
            stranded=len(stored) - final,
            lost=answered - len(stored),
            done_later=0,
            doubled=_listo(session) - final,
            resumed=_worst(pauses),
            begun_again=sum(order["intentos"] > 1 for order in stored.values()),
        )


def _kill_workers(session: Session, patience: float) -> float | None:
    """Kills them once all are there; gives the seconds until their successors have finished something."""
    session.wait_until("health", "status", "ok")
    old = {worker["pid"] for worker in _stats(session)["workers"]}
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    listo_before: int | None = None
    while time.monotonic() < killed + patience:
        stats = _stats(session)
        listo = stats["pedidos"]["listo"]
        if listo_before is not None and listo > listo_before:
            return time.monotonic() - killed
        # What the dead had committed may still be counted until a successor is there.
        if listo_before is None and {worker["pid"] for worker in stats["workers"]} - old:
            listo_before = listo
    return None


def _stats(session: Session) -> dict[str, Any]:
    stats: dict[str, Any] = session.ask("stats")["stats"]
    return stats


def _listo(session: Session) -> int:
    return int(_stats(session)["pedidos"]["listo"])


def _stored(session: Session) -> dict[str, dict[str, Any]]:
    """Every stored order, by id."""
    found: dict[str, dict[str, Any]] = {}
    cursor = None
    while True:
        page = session.ask({"action": "list", "limite": 1000, "cursor": cursor})
        found |= {order["id"]: order for order in page["pedidos"]}
        cursor = page["cursor"]
        if cursor is None:
            return found
