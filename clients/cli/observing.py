"""The command `observe`: events of topics, or the corporate data itself as it changes."""

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from clients.cli.data import Common
from clients.cli.output import Output
from clients.cli.statistics import Service, follow
from clients.errors import WrongUsage

_COMMON = Common()


async def observe(
    record_id: Annotated[str | None, Parameter(help="One record's id; else all records are shown.")] = None,
    /,
    *,
    topics: Annotated[
        str | None, Parameter(help="Events instead: orders, scores, records, notifications, stock; with commas.")
    ] = None,
    since: Annotated[
        int | None, Parameter(validator=Number(gte=0), help="With --topics: first those behind this event.")
    ] = None,
    cliente: Annotated[str | None, Parameter(help="With --topics: of this customer's orders alone.")] = None,
    order: Annotated[str | None, Parameter(help="With --topics: of this order alone.")] = None,
    user: Annotated[int | None, Parameter(help="With --topics: of this user alone.")] = None,
    reconnect: Annotated[
        float, Parameter(alias="-r", validator=Number(gt=0), help="Seconds before it connects again.")
    ] = 2.0,
    common: Common = _COMMON,
) -> int:
    """Show every change of the corporate data, of one record, or events; nothing is missed in between."""
    if topics is not None:
        if record_id is not None:
            raise WrongUsage("a record and --topics exclude each other", hint="use one of them")
        service = Service(common.server, common.port)
        return await follow(
            topics, since=since, cliente=cliente, order=order, user=user, reconnect=reconnect, service=service
        )
    if (since, cliente, order, user) != (None, None, None, None):
        raise WrongUsage("--since, --cliente, --order and --user are about events", hint="add --topics orders")
    client = common.client()
    with common.open() as out:
        async for event in client.observe(record_id, pause=reconnect):
            if event["event"] in ("connected", "lost"):
                common.note(str(event))
            elif common.for_people:
                Output(json=False).happening(event)
            else:
                common.show(out, event)
    return 0
