"""The commands, their flags, and what they do."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from clients.cli.orders import Members, parse_product, prompt_order, read_orders
from clients.cli.output import Output, fail, styled
from clients.cli.target import Host, Port, target
from clients.errors import ClientError, ConnectionLost, Refused, Unreachable
from clients.intake import IntakeClient
from clients.loadtest.command import loadtest
from clients.replies import Accepted
from shared import VERSION
from shared.domain.errors import ComandaError

Json = Annotated[bool, Parameter(negative="", help="One JSON line a result, also on a terminal.")]
OrderId = Annotated[str, Parameter(help="The id that came with the answer to the order.")]

_SAMPLES = ("pan", "agua", "queso", "café", "manzanas", "aceite", "arroz", "vino")
_AWAY_SECONDS = 2.0

app = App(
    name="python -m clients",
    version=VERSION,
    help="Clients of Comanda, the order system.",
    result_action="return_value",
)
app.command(loadtest)


@app.command
async def order(
    *,
    cliente: str | None = None,
    producto: Annotated[
        list[str] | None, Parameter(help="NAME, NAME:QUANTITY or NAME:QUANTITY:PRICE; repeatable.")
    ] = None,
    direccion: str | None = None,
    prioridad: str | None = None,
    no_antes_de: str | None = None,
    request_id: str | None = None,
    file: Annotated[
        str | None,
        Parameter(
            alias="-f", allow_leading_hyphen=True, help="One object, an array, or one a line; - is standard input."
        ),
    ] = None,
    follow: Annotated[bool, Parameter(negative="", help="Wait until every order is final.")] = False,
    auto: Annotated[bool, Parameter(negative="", help="Send sample orders until stopped.")] = False,
    every: Annotated[float, Parameter(help="Seconds between sample orders.")] = 5.0,
    host: Host = None,
    port: Port = None,
    json: Json = False,
) -> int:
    """Place orders: from flags, from a file, or from prompts when nothing is given."""
    output = Output(json=json)
    given = {"cliente": cliente, "direccion": direccion, "prioridad": prioridad}
    given |= {"no_antes_de": no_antes_de, "request_id": request_id}
    members: Members = {name: value for name, value in given.items() if value is not None}
    if producto:
        members["productos"] = [parse_product(text) for text in producto]
    if auto:
        return await _send_samples(*target(host, port), every, output)
    if file is not None:
        if members:
            raise ClientError("--file and the flags of one order exclude each other", hint="use one or the other")
        orders = read_orders(file)
    else:
        orders = [members] if members else [prompt_order()]
    status = 0
    async with IntakeClient(*target(host, port)) as client:
        for one in orders:
            try:
                accepted = await client.order(one)
            except Refused as error:
                status = fail(error)
                continue
            _show(output, accepted)
            if follow:
                final = await client.follow(accepted.id)
                output.plain(final, f"{final.id}  {styled(final.state)}")
    return status


def _show(output: Output, accepted: Accepted) -> None:
    again = "  (was there already)" if accepted.duplicate else ""
    output.plain(accepted, f"{accepted.id}  {styled(accepted.state)}{again}")


async def _send_samples(host: str, port: int, every: float, output: Output) -> int:
    """Sends sample orders until stopped; a server that is away is waited for."""
    client = IntakeClient(host, port)
    for number in itertools.count(1):
        products = random.sample(_SAMPLES, random.randint(1, 4))
        sample = {"cliente": f"Cliente {number}", "productos": products, "direccion": f"Calle Mayor {number}"}
        try:
            _show(output, await client.order(sample))
        except (Unreachable, ConnectionLost, Refused) as error:
            fail(error)
            await asyncio.sleep(_AWAY_SECONDS)
        await asyncio.sleep(every)
    return 0


@app.command
async def status(order_id: OrderId, /, *, host: Host = None, port: Port = None, json: Json = False) -> int:
    """Show one order."""
    async with IntakeClient(*target(host, port)) as client:
        Output(json=json).orders([await client.status(order_id)])
    return 0


@app.command
async def explain(order_id: OrderId, /, *, host: Host = None, port: Port = None, json: Json = False) -> int:
    """Show what happened to an order, and when."""
    async with IntakeClient(*target(host, port)) as client:
        story = await client.explain(order_id)
    output = Output(json=json)
    if output.json:
        output.members(story)
        return 0
    for step in story["pasos"]:
        output.plain(step, f"{step['cuando']}  {step['ms']:>12.3f} ms  {step['paso']}")
    return 0


@app.command(name="list")
async def list_orders(
    *,
    estado: str | None = None,
    cliente: str | None = None,
    limite: Annotated[int, Parameter(help="How many, newest first.")] = 20,
    host: Host = None,
    port: Port = None,
    json: Json = False,
) -> int:
    """List orders, newest first."""
    filters = {name: value for name, value in (("estado", estado), ("cliente", cliente)) if value is not None}
    found = []
    async with IntakeClient(*target(host, port)) as client:
        async for order in client.list(page_size=min(limite, 1000), **filters):
            found.append(order)
            if len(found) == limite:
                break
    Output(json=json).orders(found)
    return 0


@app.command
async def watch(order_id: str | None = None, /, *, host: Host = None, port: Port = None, json: Json = False) -> int:
    """Show every change of all orders, or of one."""
    output = Output(json=json)
    async for event in IntakeClient(*target(host, port)).watch(order_id):
        output.event(event)
    return fail(ConnectionLost("the server ended the connection"))


@app.command
async def cancel(order_id: OrderId, /, *, host: Host = None, port: Port = None) -> int:
    """Take an order back that no worker has begun."""
    async with IntakeClient(*target(host, port)) as client:
        await client.cancel(order_id)
    return 0


@app.command
async def retry(order_id: OrderId, /, *, host: Host = None, port: Port = None) -> int:
    """Give a failed order one more attempt."""
    async with IntakeClient(*target(host, port)) as client:
        await client.retry(order_id)
    return 0


@app.command
async def stats(*, host: Host = None, port: Port = None, json: Json = False) -> int:
    """Show the server's numbers."""
    async with IntakeClient(*target(host, port)) as client:
        Output(json=json).members(await client.stats())
    return 0


@app.command
async def health(*, host: Host = None, port: Port = None, json: Json = False) -> int:
    """Show how the server and its workers are."""
    async with IntakeClient(*target(host, port)) as client:
        Output(json=json).members(await client.health())
    return 0


@app.command
async def ping(*, host: Host = None, port: Port = None) -> int:
    """Exit with 0 when the server answers."""
    async with IntakeClient(*target(host, port)) as client:
        await client.ping()
    return 0


def main(argv: Sequence[str]) -> int:
    """Runs one command; gives the exit status: 1 for an error, 2 for wrong usage, 130 after Ctrl-C."""
    try:
        result = app(list(argv), exit_on_error=False, backend="asyncio")
    except CycloptsError:
        return 2
    except ComandaError as error:
        return fail(error)
    except KeyboardInterrupt:
        return 130
    return result if isinstance(result, int) else 0
