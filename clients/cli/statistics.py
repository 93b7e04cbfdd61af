"""The commands about the distributed service: `stats` and `notifications`."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from clients.cli.output import Output
from clients.cli.targets import DISTRIBUTED, INTAKE, read_setting, resolve_target
from clients.distributed import DistributedClient
from clients.intake import IntakeClient
from shared.domain.errors import no_distributed_service


@Parameter(name="*")
@dataclass(frozen=True)
class DistributedOptions:
    """Options of the commands about the distributed service."""

    host: Annotated[str | None, Parameter(help="The service's name or address; else DISTRIBUTED_HOST.")] = None
    port: Annotated[int | None, Parameter(alias="-p", help="The service's port; else DISTRIBUTED_PORT.")] = None
    json: Annotated[bool, Parameter(negative="", show_default=False, help="JSON lines, also on a terminal.")] = False

    def create_client(self) -> DistributedClient:
        """Returns a client of the selected service. Raises NotOffered if the settings say that there is none."""
        if self.host is None and self.port is None and read_setting("STORE", "sqlite") == "dynamodb":
            raise no_distributed_service()
        return DistributedClient(*resolve_target(self.host, self.port, DISTRIBUTED))


_OPTIONS = DistributedOptions()


async def show_statistics(
    user: Annotated[int | None, Parameter(help="The number of one user; else all users and orders.")] = None,
    /,
    *,
    intake: Annotated[
        bool, Parameter(negative="", show_default=False, help="The intake's own numbers, workers included.")
    ] = False,
    options: DistributedOptions = _OPTIONS,
) -> int:
    """Show the statistics of all users and orders, or those of one user."""
    output = Output(json=options.json)
    if intake:
        async with IntakeClient(*resolve_target(options.host, options.port, INTAKE)) as server:
            output.print_members(await server.stats())
        return 0
    async with options.create_client() as client:
        found = await (client.get_global_stats() if user is None else client.get_user_stats(user))
    if output.json or user is not None:
        output.print_members(found)
        return 0
    orders = found.pop("pedidos")
    ranking, purchases = found.pop("ranking"), found.pop("compras", {})
    output.print_members(found)
    output.print_rows(ranking, "ranking")
    counts, products, minutes = orders.pop("por_estado"), orders.pop("productos"), orders.pop("por_minuto")
    output.print_members({**orders, **counts})
    if (others := orders.pop("otros_productos", None)) is not None and others["productos"]:
        products.append({**others, "producto": f"({others['productos']:,} others)"})
    output.print_rows(products, "products")
    output.print_rows(minutes[-10:], "the last minutes")
    sales = purchases.pop("ventas", [])
    if any(purchases.values()):
        output.print_members(purchases)
        output.print_rows(sales, "sales")
    return 0


async def show_notifications(
    user: Annotated[int, Parameter(help="The user's number.")],
    /,
    *,
    unread: Annotated[bool, Parameter(negative="", show_default=False, help="Only unread ones.")] = False,
    read: Annotated[bool, Parameter(negative="", show_default=False, help="Mark all as read afterwards.")] = False,
    options: DistributedOptions = _OPTIONS,
) -> int:
    """Show a user's notifications, newest first."""
    output = Output(json=options.json)
    async with options.create_client() as client:
        found = [one async for one in client.notifications(user, unread=unread)]
        if read:
            await client.mark_read(user)
    output.print_rows(found, shown=("id", "timestamp", "type", "leida", "message"))
    return 0
