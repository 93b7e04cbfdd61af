"""Rounds that break the suite while the distributed service follows it: it counts and tells of everything once."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.chaos.chaos import Chaos
from tests.chaos.disks import PowerDisk
from tests.chaos.faults import failing_syncs
from tests.chaos.load import Load
from tests.chaos.observer import Observer
from tests.chaos.record_load import RecordLoad
from tests.support.intake import DistributedProcess, IntakeProcess, PersistenceProcess, ServerProcess

_TROUBLE = "following_failed"


class Suite(NamedTuple):
    """The servers that keep files, and what puts them under load."""

    intake: IntakeProcess
    records: PersistenceProcess
    service: DistributedProcess
    orders: Load
    changes: RecordLoad

    @property
    def servers(self) -> tuple[ServerProcess, ...]:
        """All of them."""
        return self.intake, self.records, self.service


@contextlib.contextmanager
def followed(chaos: Chaos, data_dir: Path | None = None) -> Iterator[Suite]:
    """All three servers under load, and an observer; what each has promised by the end of the block is proved then."""
    data_dir = data_dir or chaos.folder / "data"
    with chaos.suite(data_dir) as intake, contextlib.ExitStack() as stack:
        records = stack.enter_context(PersistenceProcess(data_dir))
        service = stack.enter_context(DistributedProcess(data_dir, command=chaos.follower))
        observer = stack.enter_context(Observer(service))
        with chaos.load(intake) as orders, RecordLoad(records) as changes:
            yield Suite(intake, records, service, orders, changes)
        with intake.connect() as session, records.connect() as recorded:
            session.wait_until("stats", "stats.abiertos", 0)
            of_records = changes.examine(recorded)
            observer.prove(session, changes.games(recorded), seconds=chaos.patience)
    assert chaos.outcome is not None
    findings = chaos.outcome.findings
    findings.acknowledged += of_records.acknowledged
    findings.unknown += of_records.unknown
    findings.faults += of_records.faults + observer.faults


def events_killed_at_random(chaos: Chaos) -> None:
    """The distributed service, those that it follows, or a worker are killed under load, and started again."""
    with followed(chaos) as suite:
        for _ in range(4 * chaos.scale):
            suite.orders.wait_for(chaos.dice.randint(50, 600))
            if chaos.dice.random() < 0.2:
                chaos.kill(chaos.dice.choice(suite.intake.workers()))
                continue
            # Often more than one at the same time; nobody waits for the distributed service.
            victims = [server for server in suite.servers if chaos.dice.random() < 0.5] or [suite.service]
            for server in victims:
                chaos.killed()
                server.kill()
            if suite.service in victims and len(victims) == 1:
                suite.orders.wait_for(chaos.dice.randint(50, 600))
                suite.changes.wait_for(20)
            for server in victims:
                server.start()
            chaos.recovered(suite.intake)
        suite.orders.wait_for(300)
        suite.changes.wait_for(100)


def events_power_cut(chaos: Chaos) -> None:
    """The machine that all three run on loses its power."""
    with PowerDisk(chaos.folder / "disk") as disk, followed(chaos, disk.mount / "data") as suite:
        for number in range(2 * chaos.scale):
            suite.orders.wait_for(chaos.dice.randint(100, 1000))
            suite.changes.wait_for(chaos.dice.randint(10, 100))
            chaos.killed()
            for server in suite.servers:
                server.kill()
            disk.cut(chaos.dice.randrange(1000) if number % 2 else None)
            disk.switch_on()
            for server in suite.servers:
                server.start()
            chaos.recovered(suite.intake)
        suite.orders.wait_for(300)


def events_failing_fsync(chaos: Chaos) -> None:
    """Every fsync of the distributed service fails for a while: the others go on meanwhile."""
    with followed(chaos) as suite:
        for times in range(1, chaos.scale + 1):
            suite.orders.wait_for(300)
            with failing_syncs(suite.service.pid):
                suite.service.wait_for_log(_TROUBLE, times)
                suite.orders.wait_for(300)
                suite.changes.wait_for(50)
            with suite.service.connect() as session:
                session.wait_until("health", "status", "ok")
        suite.orders.wait_for(300)


EVENT_ROUNDS = (events_killed_at_random, events_power_cut, events_failing_fsync)
