"""The command `observe`: a stream of events, or of changes of the corporate data."""

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from clients.cli.data import PersistenceOptions
from clients.cli.output import Output
from clients.cli.statistics import DistributedOptions
from clients.errors import WrongUsage

_OPTIONS = PersistenceOptions()


async def observe_changes(
    record_id: Annotated[str | None, Parameter(help="One record's id; else all records are shown.")] = None,
    /,
    *,
    topics: Annotated[
        str | None, Parameter(help="Events instead: orders, scores, records, notifications, stock; with commas.")
    ] = None,
    since: Annotated[
        int | None, Parameter(validator=Number(gte=0), help="With --topics: start after this event.")
    ] = None,
    cliente: Annotated[str | None, Parameter(help="With --topics: only those of this customer's orders.")] = None,
    order: Annotated[str | None, Parameter(help="With --topics: only those of this order.")] = None,
    user: Annotated[int | None, Parameter(help="With --topics: only those of this user.")] = None,
    reconnect: Annotated[
        float, Parameter(alias="-r", validator=Number(gt=0), help="Seconds before it connects again.")
    ] = 2.0,
    options: PersistenceOptions = _OPTIONS,
) -> int:
    """Show changes of all records, of one record, or events; a reconnection leaves no gap."""
    if topics is not None:
        if record_id is not None:
            raise WrongUsage("a record and --topics exclude each other", hint="use one of them")
        service = DistributedOptions(options.server, options.port)
        return await _show_topic_events(
            topics, since=since, cliente=cliente, order=order, user=user, reconnect=reconnect, options=service
        )
    if (since, cliente, order, user) != (None, None, None, None):
        raise WrongUsage("--since, --cliente, --order and --user are about events", hint="add --topics orders")
    client = options.create_client()
    with options.open_output() as out:
        async for event in client.observe(record_id, pause=reconnect):
            if event["event"] in ("connected", "lost"):
                options.print_note(str(event))
            elif options.is_interactive:
                Output(json=False).print_event(event)
            else:
                options.write_result(out, event)
    return 0


async def _show_topic_events(
    topics: str,
    *,
    since: int | None,
    cliente: str | None,
    order: str | None,
    user: int | None,
    reconnect: float,
    options: DistributedOptions,
) -> int:
    """Shows events of comma-separated topics until the program is stopped; a reconnection leaves no gap."""
    output = Output(json=options.json)
    client = options.create_client()
    chosen = topics.replace(",", " ").split()
    events = client.observe(chosen, since=since, pause=reconnect, customer=cliente, order=order, user_id=user)
    async for event in events:
        if event["event"] not in ("connected", "lost"):
            output.print_event(event)
    return 0
