"""Rounds on DynamoDB: two intakes on the same tables, and a persistence server; killed, stopped, and without a store.

What had `db_error` for an answer may be stored all the same: the answer to its write was lost.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator

from shared.domain.states import FINAL
from shared.stores.dynamodb.chunks import ChunkStore, count_states
from shared.stores.dynamodb.client import open_client
from shared.stores.dynamodb.servers import ServerDirectory
from shared.stores.dynamodb.settings import DynamoSettings
from tests.chaos.chaos import Chaos, Missing, Outcome, recovery
from tests.chaos.history import Findings, History, Stored, examine_orders, no_findings
from tests.chaos.load import Load
from tests.chaos.record_rounds import broken
from tests.support.dynamodb import CREDENTIALS, DynamoServer, own_tables, settings_of
from tests.support.intake import IntakeProcess

_DOUBTFUL = "db_error"
_TAKEN_OVER = "orders_adopted"
_LEASE = {"SERVER_LEASE_SECONDS": "2", "STORE_SECONDS": "2"}


@contextlib.contextmanager
def _store() -> Iterator[tuple[DynamoServer, DynamoSettings]]:
    """A server of the round's own, and tables on it."""
    if (missing := DynamoServer.missing()) is not None:
        raise Missing(missing)
    os.environ.update({name: os.environ.get(name, value) for name, value in CREDENTIALS.items()})
    server = DynamoServer()
    server.start()
    try:
        yield server, own_tables(server.endpoint)
    finally:
        server.stop()


@contextlib.contextmanager
def _intakes(chaos: Chaos) -> Iterator[tuple[DynamoServer, list[IntakeProcess]]]:
    """Two intakes on the same tables; what they have promised by the end of the block is proved then."""
    with _store() as (server, tables):
        intakes = [IntakeProcess(chaos.folder / name, {**settings_of(tables), **_LEASE}) for name in ("one", "other")]
        try:
            for intake in intakes:
                intake.start()
            yield server, intakes
            _prove(chaos, tables, intakes)
        finally:
            for intake in intakes:
                intake.kill_if_alive()


def _prove(chaos: Chaos, tables: DynamoSettings, intakes: list[IntakeProcess]) -> None:
    history = History(Load(0, chaos.folder / "clients").logs, doubtful=_DOUBTFUL)
    deadline = time.monotonic() + chaos.patience
    findings = asyncio.run(_examine(history, tables))
    # Dead ones have to be taken over, even where they have left nothing to do.
    while (findings.unfinished or asyncio.run(_servers(tables)) > len(intakes)) and time.monotonic() < deadline:
        findings = asyncio.run(_examine(history, tables))
    for intake in intakes:
        if intake.terminate() != 0:
            findings.faults.append("the stop was not clean")
    findings.faults += asyncio.run(_count(tables))
    chaos.outcome = Outcome(len(chaos.kills), findings, recovery(chaos.kills, history, findings))


async def _examine(history: History, tables: DynamoSettings) -> Findings:
    """Holds a history against the tables."""
    findings = no_findings(history)
    async with open_client(tables) as client:
        shared = await ServerDirectory(client, "harness").read_shared()
        stored: list[Stored] = []
        for block in range(1, shared.newest + 1):
            for chunk in await ChunkStore(client).read_block(block, client.next_deadline()):
                for sequence, document in enumerate(chunk.documents, chunk.first):
                    row = chunk.get_progress(sequence)
                    stored.append(
                        Stored(chunk.build_order(sequence, shared.node).id, document, row.state, row.finished)
                    )
    examine_orders(stored, history, findings)
    return findings


async def _servers(tables: DynamoSettings) -> int:
    async with open_client(tables) as client:
        return len(await ServerDirectory(client, "harness").list_others())


async def _count(tables: DynamoSettings) -> list[str]:
    """Whether the totals of all blocks, each of which is counted once it is finished, are what is there."""
    async with open_client(tables) as client:
        shared = await ServerDirectory(client, "harness").read_shared()
        kept = dict.fromkeys(FINAL, 0)
        for block in range(1, shared.newest + 1):
            rows = await ChunkStore(client).read_block_progress(block, client.next_deadline())
            for state, number in count_states(rows).items():
                if state in FINAL:
                    kept[state] += number
        left = [server.id for server in await ServerDirectory(client, "harness").list_others() if server.blocks]
        if left:
            return [f"blocks are left of {left}"]
        if kept != shared.totals:
            return [f"{shared.totals} orders counted, {kept} there"]
    return []


def dynamodb_intake_killed(chaos: Chaos) -> None:
    """Of two intakes on the same tables, one is killed under load and started again."""
    with _intakes(chaos) as (_, intakes):
        for _ in range(2 * chaos.scale):
            with chaos.load(intakes[0], clients=1) as load, chaos.load(intakes[1], clients=1) as other:
                load.wait_for(chaos.dice.randint(100, 600))
                chaos.restart(chaos.dice.choice(intakes))
                other.wait_for(100)
                load.wait_for(100)
            # The local server is slower than two intakes: what has piled up would be told as recovery.
            for intake in intakes:
                with intake.connect() as session:
                    session.wait_until("stats", "stats.abiertos", 0, seconds=chaos.patience)


def dynamodb_intake_stopped(chaos: Chaos) -> None:
    """An intake stands still until another has taken over its orders, and is then let go on."""
    with _intakes(chaos) as (_, (one, other)):
        for _ in range(chaos.scale):
            with chaos.load(one) as load:
                load.wait_for(300)
                before = sum(entry.get("event") == _TAKEN_OVER for entry in other.log)
                one.send_signal(signal.SIGSTOP)
                other.wait_for_log(_TAKEN_OVER, before + 1)
                one.send_signal(signal.SIGCONT)
                # It has to notice, and ends; a supervisor starts it again.
                one.wait()
                chaos.killed()
                one.start()
                load.wait_for(100)


def dynamodb_hangs(chaos: Chaos) -> None:
    """The store stands still under load for longer than any deadline, and goes on."""
    with _intakes(chaos) as (server, intakes), chaos.load(intakes[0]) as load:
        for _ in range(chaos.scale):
            load.wait_for(300)
            server.process.send_signal(signal.SIGSTOP)
            load.wait_for_refusals(48)
            server.process.send_signal(signal.SIGCONT)
            load.wait_for(300)


def dynamodb_records_killed(chaos: Chaos) -> None:
    """A persistence server on DynamoDB is killed under load, and started again."""
    with _store() as (_, tables), broken(chaos, settings=settings_of(tables), doubtful=_DOUBTFUL) as (server, load):
        for _ in range(2 * chaos.scale):
            load.wait_for(chaos.dice.randint(50, 400))
            chaos.killed()
            server.kill()
            server.start()
        load.wait_for(200)


def dynamodb_records_hang(chaos: Chaos) -> None:
    """The store of a persistence server stands still under load for longer than any deadline, and goes on."""
    with (
        _store() as (store, tables),
        broken(chaos, settings={**settings_of(tables), "STORE_SECONDS": "2"}, doubtful=_DOUBTFUL) as (_, load),
    ):
        for _ in range(chaos.scale):
            load.wait_for(200)
            store.process.send_signal(signal.SIGSTOP)
            load.wait_for(1, refused=True)
            store.process.send_signal(signal.SIGCONT)
            load.wait_for(200)


DYNAMO_ROUNDS = (
    dynamodb_intake_killed,
    dynamodb_intake_stopped,
    dynamodb_hangs,
    dynamodb_records_killed,
    dynamodb_records_hang,
)
