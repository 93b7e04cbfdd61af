"""The root of the command line: its commands, and those about orders."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

from clients.cli.operating_user import name_operating_user
from clients.cli.order_input import (
    LocatedObject,
    Members,
    looks_like_quantity,
    parse_product,
    prompt_order,
    read_objects,
)
from clients.cli.order_sender import send_orders, send_samples
from clients.cli.output import Output, print_error, print_note
from clients.cli.targets import Host, Port, resolve_target
from clients.cli.text import decode_typed_text, prepare_streams
from clients.cli.times import parse_time, to_wire
from clients.errors import ClientError, ConnectionLost, WrongUsage
from clients.intake import IntakeClient
from clients.request_context import set_request_user
from shared import VERSION
from shared.domain.errors import ComandaError
from shared.runtime.programs import client_command

Json = Annotated[bool, Parameter(negative="", show_default=False, help="One JSON line a result, also on a terminal.")]
AnyOrder = Annotated[str | None, Parameter(help="One order's id; else all orders are shown.")]
OrderId = Annotated[str, Parameter(help="The id that came with the answer to the order.")]

_USAGE = 2
_INTERRUPTED = 130
_BROKEN_PIPE = 141
_TERMINATED = 143

app = App(
    name=client_command(),
    version=VERSION,
    help="Clients of Comanda, the order system.",
    result_action="return_value",
)
# These modules are loaded on demand, so that other commands start faster.
app.command(
    "clients.tools.loadtest.command:run_loadtest",
    name="loadtest",
    help="Put a server under load, and assess whether it holds.",
)
app.command(
    "clients.tools.migrate.command:run_migration",
    name="migrate",
    help="Copy all orders and records to another kind of store.",
)
app.command(
    "clients.tools.backup.command:create_backup", name="backup", help="Copy everything that the running suite stores."
)
app.command("clients.tools.backup.command:run_verification", name="verify", help="Prove that a backup is whole.")
app.command(
    "clients.tools.backup.command:run_restore", name="restore", help="Put a backup in the place of the suite's files."
)
app.command(
    "clients.tools.archive.command:archive_orders", name="archive", help="Move old final orders to compressed files."
)
app.command(
    "clients.tools.archive.command:compact_files",
    name="compact",
    help="Return the space of deleted rows to the file system.",
)
app.command("clients.cli.data:data", name="data", help="Corporate data, and the audit log of it.")
app.command(
    "clients.cli.event_stream:observe_changes",
    name="observe",
    help="Show changes and events as they happen, until stopped.",
)
app.command("clients.cli.statistics:show_statistics", name="stats", help="Show the statistics of users and orders.")
app.command("clients.cli.statistics:show_notifications", name="notifications", help="Show a user's notifications.")
app.command("clients.cli.inventory:inventory", name="inventory", help="Stock: upload files, list counts, undo imports.")
app.command("clients.cli.user:user", name="user", help="Accounts of users: add, list and block them, give roles.")
app.command("clients.cli.tenant:tenant", name="tenant", help="Tenants: add, list and change them.")
app.command("clients.cli.shop:shop", name="shop", help="The bookstore: load and undo files of books.")
app.command("clients.cli.lake:run_sql", name="sql", help="Ask the analytics lake with one SELECT.")
app.command("clients.cli.lake:lake", name="lake", help="The analytics lake: state, rebuild, forget a person, Athena.")
app.command("clients.cli.readiness:show_readiness", name="ready", help="Check whether all required servers can work.")
app.command(
    "clients.tools.doctor.command:run_doctor",
    name="doctor",
    help="Examine this installation, and suggest a cure for each problem.",
)
app.command("clients.cli.token:make_token", name="token", help="Make a bearer token for the gateway.")
app.command(
    "clients.cli.audit_log:show_audit_log",
    name="audit-log",
    help="Show who changed what, who signed in, and who was refused.",
)
app.command(
    "clients.cli.audit:audit_statistics", name="audit", help="Prove that the statistics have counted every order."
)


@app.command(name="order")
async def place_orders(  # noqa: PLR0913 -- its parameters are the flags of the command
    *,
    cliente: Annotated[str | None, Parameter(help="The customer's name.")] = None,
    producto: Annotated[
        list[str] | None,
        Parameter(negative="", help="NAME, NAME:QUANTITY or NAME:QUANTITY:PRICE, or JSON; repeatable."),
    ] = None,
    direccion: Annotated[str | None, Parameter(help="The delivery address.")] = None,
    prioridad: Annotated[Literal["alta", "normal", "baja"] | None, Parameter(help="Else normal.")] = None,
    no_antes_de: Annotated[
        str | None, Parameter(help="Not begun before this time: 2030-01-31, or 2030-01-31T08:00:00Z.")
    ] = None,
    request_id: Annotated[
        str | None, Parameter(help="Idempotency key: an order sent twice with it is stored once.")
    ] = None,
    client_id: Annotated[
        str | None, Parameter(help="Scope of --request-id: other clients may use the same id.")
    ] = None,
    file: Annotated[
        str | None,
        Parameter(
            alias="-f", allow_leading_hyphen=True, help="One object, an array, or one a line; - is standard input."
        ),
    ] = None,
    follow: Annotated[
        bool,
        Parameter(
            negative="", show_default=False, help="Wait until every order is final; exit 1 unless all are listo."
        ),
    ] = False,
    auto: Annotated[bool, Parameter(negative="", show_default=False, help="Send sample orders until stopped.")] = False,
    every: Annotated[float, Parameter(validator=Number(gte=0), help="With --auto: seconds between orders.")] = 5.0,
    count: Annotated[
        int | None, Parameter(validator=Number(gte=1), help="With --auto: stop after this many orders.")
    ] = None,
    host: Host = None,
    port: Port = None,
    json: Json = False,
) -> int:
    """Place orders: from flags, from a file, or from prompts when nothing is given."""
    output = Output(json=json)
    given = {"cliente": cliente, "direccion": direccion, "prioridad": prioridad}
    begin = None if no_antes_de is None else to_wire(parse_time(no_antes_de, "--no-antes-de"))
    given |= {"no_antes_de": begin, "request_id": request_id, "client_id": client_id}
    members: Members = {name: value for name, value in given.items() if value is not None}
    if producto:
        members["productos"] = [parse_product(text) for text in producto]
        for text in filter(looks_like_quantity, producto):
            print_note(f"{text!r} is taken as a name, without a quantity; JSON says otherwise: see docs/CLIENTS.md")
    if sum([bool(members), file is not None, auto]) > 1:
        raise WrongUsage("the flags of one order, --file and --auto exclude each other", hint="use one of them")
    client = IntakeClient(*resolve_target(host, port), wait_for_room=file is not None)
    if auto:
        return await send_samples(client, output, every=every, count=count)
    orders = [LocatedObject("", members or prompt_order())] if file is None else read_objects(file)
    async with client:
        return await send_orders(client, orders, output, follow=follow)


@app.command(name="status")
async def show_order(order_id: OrderId, /, *, host: Host = None, port: Port = None, json: Json = False) -> int:
    """Show one order."""
    async with IntakeClient(*resolve_target(host, port)) as client:
        Output(json=json).print_order(await client.status(order_id))
    return 0


@app.command(name="explain")
async def explain_order(order_id: OrderId, /, *, host: Host = None, port: Port = None, json: Json = False) -> int:
    """Show an order's history: its steps with their times, and the reasons of failed attempts."""
    async with IntakeClient(*resolve_target(host, port)) as client:
        Output(json=json).print_explanation(await client.explain(order_id))
    return 0


@app.command(name="list")
async def list_orders(
    *,
    estado: Annotated[str | None, Parameter(help="en_cola, en_proceso, listo, fallido or cancelado.")] = None,
    cliente: Annotated[str | None, Parameter(help="Only orders of this customer.")] = None,
    desde: Annotated[
        str | None, Parameter(help="Received at this time or later: 2030-01-31, or 2030-01-31T08:00:00Z.")
    ] = None,
    hasta: Annotated[str | None, Parameter(help="Received before this time.")] = None,
    limite: Annotated[int, Parameter(validator=Number(gte=1), help="How many, newest first.")] = 20,
    archive: Annotated[
        bool, Parameter(negative="", show_default=False, help="Orders that were archived on this machine.")
    ] = False,
    host: Host = None,
    port: Port = None,
    json: Json = False,
) -> int:
    """List orders, newest first."""
    state = None if estado is None else estado.lower().replace("_", " ")
    since = None if desde is None else parse_time(desde, "--desde")
    until = None if hasta is None else parse_time(hasta, "--hasta")
    found = []
    if archive:
        # Imported here because no other command needs the files.
        from clients.tools.archive.listing import list_archived  # noqa: PLC0415

        listed = list_archived(state=state, customer=cliente, since=since, until=until)
        Output(json=json).print_orders(list(islice(listed, limite)))
        return 0
    async with IntakeClient(*resolve_target(host, port)) as client:
        async for one in client.list(
            state=state, customer=cliente, since=since, until=until, page_size=min(limite, 1000)
        ):
            found.append(one)
            if len(found) == limite:
                break
    Output(json=json).print_orders(found)
    return 0


@app.command(name="watch")
async def watch_orders(
    order_id: AnyOrder = None, /, *, host: Host = None, port: Port = None, json: Json = False
) -> int:
    """Show every change of all orders, or of one."""
    output = Output(json=json)
    async for event in IntakeClient(*resolve_target(host, port)).watch(order_id):
        output.print_order_event(event)
    return print_error(ConnectionLost("the server ended the connection"))


@app.command(name="cancel")
async def cancel_order(order_id: OrderId, /, *, host: Host = None, port: Port = None, json: Json = False) -> int:
    """Cancel a waiting order, or discard a failed one."""
    async with IntakeClient(*resolve_target(host, port)) as client:
        Output(json=json).print_state(order_id, await client.cancel(order_id))
    return 0


@app.command(name="retry")
async def retry_order(order_id: OrderId, /, *, host: Host = None, port: Port = None, json: Json = False) -> int:
    """Queue a failed order for another attempt."""
    async with IntakeClient(*resolve_target(host, port)) as client:
        Output(json=json).print_state(order_id, await client.retry(order_id))
    return 0


@app.command(name="health")
async def show_health(*, host: Host = None, port: Port = None, json: Json = False) -> int:
    """Show the health of the intake and its workers."""
    async with IntakeClient(*resolve_target(host, port)) as client:
        Output(json=json).print_members(await client.health())
    return 0


@app.command(name="ping")
async def ping_intake(*, host: Host = None, port: Port = None, json: Json = False) -> int:
    """Exit with 0 when the server answers."""
    async with IntakeClient(*resolve_target(host, port)) as client:
        began = time.perf_counter()
        await client.ping()
        milliseconds = (time.perf_counter() - began) * 1000
    Output(json=json).print_result({"ms": round(milliseconds, 3)}, f"answered in {milliseconds:.2f} ms")
    return 0


def _drop_output() -> None:
    """Discards buffered output, since the interpreter would fail to flush it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(argv: Sequence[str]) -> int:
    """Runs one command; returns the exit status: 1 for an error, 2 for wrong usage, 130 after Ctrl-C."""
    # The first process of a container ignores the signal unless it has a handler.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    try:
        prepare_streams()
        set_request_user(name_operating_user())
        result = app([decode_typed_text(word) for word in argv], exit_on_error=False, backend="asyncio")
        # Flushed here, so that a write error is reported as an error of this command.
        sys.stdout.flush()
    except CycloptsError:
        return _USAGE
    except ImportError as error:
        missing = error.__cause__ or error
        if not isinstance(missing, ModuleNotFoundError):
            raise
        return print_error(
            ClientError(
                f"this command needs the package {missing.name}, which is not installed",
                hint="install all of Comanda; docs/CLIENTS.md says what a client-only installation can do",
            )
        )
    except WrongUsage as error:
        print_error(error)
        return _USAGE
    except ComandaError as error:
        return print_error(error)
    except (KeyboardInterrupt, EOFError):
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader has closed the pipe.
        _drop_output()
        return _BROKEN_PIPE
    except OSError as error:
        _drop_output()
        return print_error(ClientError(f"the output cannot be written: {error.strerror or error}"))
    return result if isinstance(result, int) else 0
