"""The rounds: each breaks a running intake in one way, under load, and leaves the proof to `Chaos.suite`."""

import contextlib
import os
import resource
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from tests.chaos.backup_rounds import BACKUP_ROUNDS
from tests.chaos.chaos import Chaos, Missing
from tests.chaos.disks import PowerDisk, enlarge, small_disk
from tests.chaos.dynamo_rounds import DYNAMO_ROUNDS
from tests.chaos.event_rounds import EVENT_ROUNDS
from tests.chaos.faults import failing_syncs, strace
from tests.chaos.gateway_rounds import GATEWAY_ROUNDS
from tests.chaos.orders import document
from tests.chaos.record_rounds import RECORD_ROUNDS
from tests.chaos.shop_rounds import SHOP_ROUNDS
from tests.chaos.stopped import StoppedWorker
from tests.support.intake import IntakeProcess

Round = Callable[[Chaos], None]

_YEAR_SECONDS = 365 * 24 * 3600
_IDLE = 10_000
_SLOW = 7_000_000_000_000
_DEAF_BYTES = 64 * 2**20


# Workers.


def worker_killed_at_random(chaos: Chaos) -> None:
    """Workers are killed under load, one at a time."""
    with chaos.suite() as intake, chaos.load(intake) as load:
        for _ in range(6 * chaos.scale):
            load.wait_for(chaos.dice.randint(50, 600))
            chaos.kill(chaos.dice.choice(intake.workers()))
            chaos.recovered(intake)
        load.wait_for(500)


def all_workers_killed_at_once(chaos: Chaos) -> None:
    """Every worker is killed in the same moment."""
    with chaos.suite() as intake:
        for _ in range(2 * chaos.scale):
            with chaos.load(intake) as load:
                load.wait_for(500)
                for pid in intake.workers():
                    chaos.kill(pid)
                load.wait_for(500)
            # Orders that lose worker after worker come under suspicion, which is another matter.
            with intake.connect() as session:
                session.wait_until("stats", "stats.abiertos", 0, seconds=chaos.patience)


def worker_killed_while_idle(chaos: Chaos) -> None:
    """Workers are killed while they wait for orders: nobody else may wait for a lock of theirs."""
    with chaos.suite() as intake:
        for _ in range(3 * chaos.scale):
            chaos.kill(chaos.dice.choice(intake.workers()))
            with chaos.load(intake) as load:
                load.wait_for(200)
            with intake.connect() as session:
                session.wait_until("stats", "stats.abiertos", 0, seconds=chaos.patience)


def worker_killed_inside_a_transaction(chaos: Chaos) -> None:
    """Workers are killed at a commit's fsync."""
    with chaos.suite() as intake, chaos.load(intake) as load:
        for _ in range(2 * chaos.scale):
            load.wait_for(300)
            victim = chaos.dice.choice(intake.workers())
            when = chaos.dice.randint(1, 5)
            words = ["-p", str(victim), "-e", "trace=fsync,fdatasync", "-e"]
            subprocess.run(strace(*words, f"inject=fsync,fdatasync:signal=KILL:when={when}"), check=False)
            chaos.killed()
            chaos.recovered(intake)
        load.wait_for(500)


def worker_stopped_past_its_lease(chaos: Chaos) -> None:
    """A worker stands still until it is given up, and is then let go on."""
    with chaos.suite(LEASE_SECONDS=0.5, PROCESSING_SECONDS=0.05) as intake, chaos.load(intake) as load:
        for number in range(2 * chaos.scale):
            load.wait_for(300)
            # A result of its own is one too many only where another worker has recorded one, which it cannot while
            # this one holds the lock of a transaction. That is a case of its own.
            victim = StoppedWorker(intake, chaos.dice.choice(intake.workers()), between_turns=number % 2 == 1)
            victim.wait_until_replaced()
            victim.resume()
        load.wait_for(500)


# The server.


def server_killed_at_random(chaos: Chaos) -> None:
    """The server is killed under load, its workers end with it, and it is started again."""
    with chaos.suite() as intake, chaos.load(intake) as load:
        for _ in range(4 * chaos.scale):
            load.wait_for(chaos.dice.randint(50, 1500))
            chaos.restart(intake)
            chaos.recovered(intake)
        load.wait_for(500)


def server_killed_at_an_fsync(chaos: Chaos) -> None:
    """The server or a worker is killed at its n-th fsync, until the server was the one."""
    with chaos.suite() as intake:
        plain = intake.command
        for _ in range(3 * chaos.scale):
            intake.terminate()
            kill = f"inject=fsync,fdatasync:signal=KILL:when={chaos.dice.randint(8, 120)}"
            intake.command = [*strace("-e", "trace=fsync,fdatasync", "-e", kill), *plain]
            intake.start()
            with chaos.load(intake):
                intake.wait()
            chaos.killed()
            intake.command = plain
            intake.start()
            with chaos.load(intake) as load:
                load.wait_for(200)
                chaos.recovered(intake)


def server_stopped_under_load(chaos: Chaos) -> None:
    """SIGTERM under load, twice in a row, and a new start."""
    with chaos.suite(PROCESSING_SECONDS=0.05) as intake, chaos.load(intake) as load:
        for _ in range(2 * chaos.scale):
            load.wait_for(600)
            workers = intake.workers()
            assert intake.terminate(times=2) == 0, "the stop was not clean"
            assert not any(Path(f"/proc/{pid}").exists() for pid in workers), "a worker was left behind"
            intake.start()
        load.wait_for(500)


# The disk.


def power_cut(chaos: Chaos) -> None:
    """The machine loses its power: what was not synced is gone, or any part of it is."""
    with (
        PowerDisk(chaos.folder / "disk") as disk,
        chaos.suite(disk.mount / "data") as intake,
        chaos.load(intake) as load,
    ):
        for number in range(3 * chaos.scale):
            load.wait_for(chaos.dice.randint(200, 1500))
            chaos.killed()
            intake.kill()
            disk.cut(chaos.dice.randrange(1000) if number % 2 else None)
            disk.switch_on()
            intake.start()
            chaos.recovered(intake)
        load.wait_for(300)


def disk_full(chaos: Chaos) -> None:
    """The disk fills up to the last byte, and is made larger later."""
    folder = chaos.folder / "disk"
    with (
        small_disk(folder, 6),
        chaos.suite(folder / "data", DISK_RESERVE_MIB=0) as intake,
        chaos.load(intake) as load,
    ):
        load.wait_for_refusals(200)
        enlarge(folder, 256)
        load.wait_for(500)


def disk_nearly_full(chaos: Chaos) -> None:
    """The disk fills up to the reserve: what was accepted is finished, and the service can stop on a full disk."""
    folder = chaos.folder / "disk"
    with small_disk(folder, 40), chaos.suite(folder / "data", DISK_RESERVE_MIB=36) as intake:
        with chaos.load(intake) as load:
            load.wait_for_refusals(200)
        with intake.connect() as session:
            session.wait_until("stats", "stats.abiertos", 0, seconds=chaos.patience)
        with contextlib.suppress(OSError), (folder / "ballast").open("wb", buffering=0) as ballast:
            while ballast.write(bytes(4096)):
                pass


def failing_fsync(chaos: Chaos) -> None:
    """Every fsync fails for a while, of the server and of its workers."""
    with chaos.suite() as intake, chaos.load(intake) as load:
        load.wait_for(500)
        with failing_syncs(intake.pid, *intake.workers()):
            load.wait_for_refusals(200)
        load.wait_for(500)


# Clocks and limits.


def clock_jumps(chaos: Chaos) -> None:
    """The clock jumps a year ahead, a year back, and home."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        raise Missing("libfaketime sets the clock (Debian: apt-get install faketime)")
    clock = chaos.folder / "clock"
    clock.write_text("+0")
    with (
        chaos.suite(
            LD_PRELOAD=str(library),
            FAKETIME_TIMESTAMP_FILE=str(clock),
            FAKETIME_NO_CACHE=1,
            FAKETIME_DONT_FAKE_MONOTONIC=1,
        ) as intake,
        chaos.load(intake) as load,
    ):
        for shift in (_YEAR_SECONDS, -_YEAR_SECONDS, 0):
            load.wait_for(400)
            # Replaced in one step: the library may read it at any moment.
            new = clock.with_suffix(".new")
            new.write_text(f"{shift:+d}")
            new.replace(clock)
        load.wait_for(400)


def few_file_descriptors(chaos: Chaos) -> None:
    """The server may have 64 files, and 100 clients come."""
    chaos.command = ("prlimit", "--nofile=64:64", *chaos.command)
    with chaos.suite() as intake, chaos.load(intake, clients=1) as load:
        load.wait_for(200)
        with _connections(intake, 100):
            load.wait_for(300)
        load.wait_for(200)


def idle_connections(chaos: Chaos) -> None:
    """10,000 clients connect and say nothing."""
    with chaos.suite() as intake, chaos.load(intake) as load:
        load.wait_for(200)
        with _connections(intake, _IDLE):
            load.wait_for(500)
        load.wait_for(200)


def deaf_observer(chaos: Chaos) -> None:
    """Observers never read what they asked for: they are dropped, and nothing waits for them."""
    with chaos.suite() as intake, chaos.load(intake) as load:
        load.wait_for(200)
        before = _memory_bytes(intake.pid)
        with _connections(intake, 20) as connections:
            for connection in connections:
                connection.sendall(b"watch\n")
            load.wait_for(10_000)
        grown = _memory_bytes(intake.pid) - before
        assert grown < _DEAF_BYTES, f"observers that do not read cost {grown / 2**20:.0f} MiB"


def bytes_one_at_a_time(chaos: Chaos) -> None:
    """Clients send orders byte by byte, between those of all others."""
    with chaos.suite() as intake, chaos.load(intake) as load:
        for number in range(_SLOW, _SLOW + 3 * chaos.scale):
            chaos.note(f"send {number}")
            with intake.connect() as slow:
                slow.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for byte in msgspec.json.encode(document(number)) + b"\n":
                    slow.send(bytes([byte]))
                chaos.note(f"ok {number} {slow.read()['id']} {time.time()}")
            load.wait_for(200)


ROUNDS: dict[str, Round] = {
    breaks.__name__: breaks
    for breaks in (
        worker_killed_at_random,
        all_workers_killed_at_once,
        worker_killed_while_idle,
        worker_killed_inside_a_transaction,
        worker_stopped_past_its_lease,
        server_killed_at_random,
        server_killed_at_an_fsync,
        server_stopped_under_load,
        power_cut,
        disk_full,
        disk_nearly_full,
        failing_fsync,
        clock_jumps,
        few_file_descriptors,
        idle_connections,
        deaf_observer,
        bytes_one_at_a_time,
        *RECORD_ROUNDS,
        *EVENT_ROUNDS,
        *BACKUP_ROUNDS,
        *GATEWAY_ROUNDS,
        *SHOP_ROUNDS,
        *DYNAMO_ROUNDS,
    )
}
"""Every round by its name."""


@contextlib.contextmanager
def _connections(intake: IntakeProcess, number: int) -> Iterator[list[socket.socket]]:
    """So many connections that say and read nothing."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < number + 200:
        raise Missing(f"{number} connections take more than the {hard} files that a process may have here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(("127.0.0.1", intake.port))) for _ in range(number)]


def _memory_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
