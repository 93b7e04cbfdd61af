"""Sends the orders of the command line: many at a time, or samples at intervals."""

import asyncio
import itertools
import random
from collections.abc import Sequence

from clients.cli.order_input import LocatedObject
from clients.cli.output import Output, format_attempts, print_error
from clients.cli.times import EXAMPLE_TIME
from clients.errors import ClientError, Refused
from clients.intake import IntakeClient
from clients.replies import Accepted, StoredOrder
from shared.domain.states import State
from shared.runtime.programs import client_command

_AT_A_TIME = 200
_SAMPLES = ("pan", "agua", "queso", "café", "manzanas", "aceite", "arroz", "vino")


async def send_orders(client: IntakeClient, orders: Sequence[LocatedObject], output: Output, *, follow: bool) -> int:
    """Places orders, and with `follow` waits until each is final.

    Returns the exit status: 1 if an order was refused, or a followed one did not end as `listo`. A refused order does
    not stop the others; its error names its location in the file.
    """
    status = 0
    for start in range(0, len(orders), _AT_A_TIME):
        placing = (_send_order(client, order) for order in orders[start : start + _AT_A_TIME])
        for outcome in await asyncio.gather(*placing):
            if isinstance(outcome, ClientError):
                status = print_error(outcome)
                continue
            output.print_accepted(outcome)
            if follow:
                final = await client.follow(outcome.id)
                output.print_final(final)
                if final.state is not State.DONE:
                    status = print_error(_not_done(final))
    return status


def _not_done(order: StoredOrder) -> ClientError:
    after = f" after {format_attempts(order.attempts)}" if order.attempts else ""
    reason = f": {order.detail}" if order.detail else ""
    return ClientError(
        f"order {order.id} ended {order.state.value}{after}{reason}",
        hint=f"{client_command()} explain {order.id} shows each attempt",
    )


async def _send_order(client: IntakeClient, order: LocatedObject) -> Accepted | ClientError:
    try:
        return await client.order(order.members)
    except Refused as refusal:
        hint = refusal.hint
        if hint is None and refusal.reply.get("field") == "no_antes_de":
            hint = f"write a time as {EXAMPLE_TIME}"
        return ClientError(f"{order.where}: {refusal.message}" if order.where else refusal.message, hint=hint)


async def send_samples(client: IntakeClient, output: Output, *, every: float, count: int | None) -> int:
    """Sends a sample order every `every` seconds, `count` of them or until stopped; returns the exit status.

    An error is printed and does not stop the next order.
    """
    for number in itertools.count(1):
        products = random.sample(_SAMPLES, random.randint(1, 4))
        sample = {"cliente": f"Cliente {number}", "productos": products, "direccion": f"Calle Mayor {number}"}
        try:
            output.print_accepted(await client.order(sample))
        except ClientError as error:
            print_error(error)
        if number == count:
            break
        await asyncio.sleep(every)
    return 0
