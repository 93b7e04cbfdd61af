"""The command `audit`: compares the statistics with the intake's orders, one by one where the counts differ."""

import asyncio
import time
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from clients.cli.output import Output
from clients.cli.statistics import DistributedOptions
from clients.cli.targets import INTAKE, resolve_target
from clients.distributed import DistributedClient
from clients.intake import IntakeClient

_PAUSE = 0.25
_SHOWN = 10
_OPTIONS = DistributedOptions()


async def audit_statistics(
    *,
    wait: Annotated[float, Parameter(validator=Number(gte=0), help="Seconds to wait until both are at rest.")] = 10.0,
    intake_host: Annotated[str | None, Parameter(help="The intake's name or address; else SERVER_HOST.")] = None,
    intake_port: Annotated[int | None, Parameter(help="The intake's port; else SERVER_PORT.")] = None,
    options: DistributedOptions = _OPTIONS,
) -> int:
    """Compare the intake's orders with what the distributed service has counted. Exit status 1 where they differ.

    Also shows each repair of the intake's files (lost orders, and the file that has their progress), and when changes
    of records were last missing, for example because `records.db` was restored.
    """
    output = Output(json=options.json)
    async with (
        options.create_client() as client,
        IntakeClient(*resolve_target(intake_host, intake_port, INTAKE)) as intake,
    ):
        until = time.monotonic() + wait
        while True:
            counted, stats = await _count_orders(client), await intake.stats()
            known = {"aceptados": stats["aceptados"], **stats["pedidos"]}
            sound = counted == known and _is_balanced(counted)
            if sound or time.monotonic() > until:
                break
            await asyncio.sleep(_PAUSE)
        if output.json:
            output.print_members({"sound": sound, "intake": known, "distributed": counted})
        else:
            output.print_members({"sound": sound})
            output.print_rows(
                [{"orders": name, "intake": known[name], "distributed": counted.get(name)} for name in known]
            )
        for repair in (*stats.get("reparaciones", ()), *(await client.health()).get("reparaciones", ())):
            output.print_members({"repair": repair})
        if sound:
            return 0
        await _print_differences(intake, client, output)
        return 1


def _is_balanced(counts: dict[str, int]) -> bool:
    return counts["aceptados"] == sum(count for name, count in counts.items() if name != "aceptados")


async def _count_orders(client: DistributedClient) -> dict[str, int]:
    orders = (await client.get_global_stats())["pedidos"]
    return {"aceptados": orders["aceptados"], **orders["por_estado"]}


async def _print_differences(intake: IntakeClient, client: DistributedClient, output: Output) -> None:
    """Prints orders whose last event does not match their state in the intake, and events that are gone."""
    last = (await client.health())["eventos"]
    counted: dict[str, tuple[int, str]] = {}
    gone: dict[str, Any] | None = None
    if last:
        async for event in client.subscribe(["orders", "scores", "records", "notifications", "stock"], since=0):
            if event["event"] == "gap":
                gone = event
            elif "estado" in event:
                counted[event["id"]] = (event["seq"], event["estado"])
            if event.get("seq", 0) >= last:
                break
    if gone is not None:
        output.print_members({"not_kept": f"events {gone['from']} to {gone['to']}: orders of that time are left out"})
    shown = 0
    async for order in intake.list(page_size=1000):
        seq, state = counted.pop(order.id, (None, None))
        if state != order.state.value and not (state is None and gone is not None):
            output.print_members({"id": order.id, "intake": order.state.value, "distributed": state, "seq": seq})
            shown += 1
        if shown == _SHOWN:
            return
    for order_id, (seq, state) in list(counted.items())[: _SHOWN - shown]:
        output.print_members({"id": order_id, "intake": None, "distributed": state, "seq": seq})
