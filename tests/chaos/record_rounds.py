"""Rounds that break the persistence server under load: nothing acknowledged is lost, nothing is applied twice."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.chaos.chaos import Chaos, Outcome
from tests.chaos.disks import PowerDisk, enlarge, small_disk
from tests.chaos.faults import failing_syncs
from tests.chaos.record_load import RecordLoad
from tests.support.intake import PersistenceProcess


@contextlib.contextmanager
def broken(
    chaos: Chaos,
    data_dir: Path | None = None,
    settings: Mapping[str, str] | None = None,
    *,
    doubtful: str | None = None,
) -> Iterator[tuple[PersistenceProcess, RecordLoad]]:
    """A server under load; what it has acknowledged by the end of the block is proved then."""
    server = PersistenceProcess(data_dir or chaos.folder / "data", settings)
    try:
        server.start()
        with RecordLoad(server, doubtful=doubtful) as load:
            yield server, load
        with server.connect() as session:
            findings = load.examine(session)
        if server.terminate() != 0:
            findings.faults.append("the stop was not clean")
        chaos.outcome = Outcome(len(chaos.kills), findings, [])
    finally:
        server.kill_if_alive()


def records_killed_at_random(chaos: Chaos) -> None:
    """The persistence server is killed under load, and started again."""
    with broken(chaos) as (server, load):
        for _ in range(4 * chaos.scale):
            load.wait_for(chaos.dice.randint(50, 1500))
            chaos.killed()
            server.kill()
            server.start()
        load.wait_for(500)


def records_power_cut(chaos: Chaos) -> None:
    """The persistence server's machine loses its power."""
    with PowerDisk(chaos.folder / "disk") as disk, broken(chaos, disk.mount / "data") as (server, load):
        for number in range(3 * chaos.scale):
            load.wait_for(chaos.dice.randint(50, 1000))
            chaos.killed()
            server.kill()
            disk.cut(chaos.dice.randrange(1000) if number % 2 else None)
            disk.switch_on()
            server.start()
        load.wait_for(300)


def records_disk_full(chaos: Chaos) -> None:
    """The persistence server's disk fills up to the last byte, and is made larger later."""
    folder = chaos.folder / "disk"
    with small_disk(folder, 6), broken(chaos, folder / "data") as (_, load):
        load.wait_for(200, refused=True)
        enlarge(folder, 256)
        load.wait_for(500)


def records_failing_fsync(chaos: Chaos) -> None:
    """Every fsync of the persistence server fails for a while."""
    with broken(chaos) as (server, load):
        load.wait_for(500)
        with failing_syncs(server.pid):
            load.wait_for(200, refused=True)
        load.wait_for(500)


RECORD_ROUNDS = (records_killed_at_random, records_power_cut, records_disk_full, records_failing_fsync)
