"""The command `ready`: checks whether the suite, or one of its servers, can work."""

import json as json_format
import ssl
import urllib.error
import urllib.request
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from clients.cli.output import Output
from clients.cli.targets import DISTRIBUTED, GATEWAY, INTAKE, PERSISTENCE, AddressSettings, read_setting, resolve_target
from clients.distributed import DistributedClient
from clients.errors import Unreachable
from clients.intake import IntakeClient
from clients.inventory.heartbeat import HEARTBEAT_TIMEOUT_SECONDS, heartbeat_age
from clients.lake.requests import read_heartbeat as read_lake_heartbeat
from clients.persistence import PersistenceClient
from clients.shop.search_state import read_heartbeat
from shared.domain.errors import no_distributed_service

_PATIENCE_SECONDS = 5.0
_FIT = ("ok", "degraded")

ServerName = Literal["intake", "persistence", "distributed", "inventory", "shop", "lake", "gateway"]

_ASKED: dict[str, tuple[AddressSettings, type[IntakeClient | PersistenceClient | DistributedClient]]] = {
    "intake": (INTAKE, IntakeClient),
    "persistence": (PERSISTENCE, PersistenceClient),
    "distributed": (DISTRIBUTED, DistributedClient),
}


async def show_readiness(
    server: Annotated[ServerName | None, Parameter(help="One server only; else the gateway reports all.")] = None,
    /,
    *,
    host: Annotated[
        str | None, Parameter(help="The server's name or address; else its setting, such as MAIN_SERVER_HOST.")
    ] = None,
    port: Annotated[
        int | None, Parameter(alias="-p", help="The server's port; else its setting, such as MAIN_SERVER_PORT.")
    ] = None,
    json: Annotated[bool, Parameter(negative="", show_default=False, help="As a JSON line.")] = False,
) -> int:
    """Check whether all required servers can work, or one of them. Exit status 1 if not."""
    output = Output(json=json)
    if server is None:
        reply = _ask_gateway("ready", host, port)
        states = {name: one["status"] for name, one in reply.get("dependencies", {}).items()}
        output.print_members({"status": reply["status"], **states})
        return 0 if reply["status"] in _FIT else 1
    status = await check_server(server, host, port)
    output.print_members({"status": status})
    return 0 if status in _FIT else 1


async def check_server(server: str, host: str | None = None, port: int | None = None) -> str:
    """Returns the status of one server. Raises ClientError if it does not answer."""
    match server:
        case "distributed" if host is None and port is None and read_setting("STORE", "sqlite") == "dynamodb":
            raise no_distributed_service()
        case "gateway":
            return str(_ask_gateway("health", host, port)["status"])
        case "inventory":
            # It has no port; its heartbeat is a record of the persistence server.
            where = resolve_target(host, port, PERSISTENCE)
            async with PersistenceClient(*where, timeout=_PATIENCE_SECONDS) as client:
                seconds = await heartbeat_age(client)
            return "ok" if seconds is not None and seconds <= HEARTBEAT_TIMEOUT_SECONDS else "away"
        case "shop":
            where = resolve_target(host, port, PERSISTENCE)
            async with PersistenceClient(*where, timeout=_PATIENCE_SECONDS) as client:
                heartbeat = await read_heartbeat(client)
            return "away" if heartbeat is None else heartbeat.status
        case "lake":
            where = resolve_target(host, port, PERSISTENCE)
            async with PersistenceClient(*where, timeout=_PATIENCE_SECONDS) as client:
                heard = await read_lake_heartbeat(client)
            return "away" if heard is None else heard.status
        case _:
            place, kind = _ASKED[server]
            async with kind(*resolve_target(host, port, place), timeout=_PATIENCE_SECONDS) as asked:
                return str((await asked.health())["status"])


def _ask_gateway(path: str, host: str | None, port: int | None) -> dict[str, Any]:
    found = resolve_target(host, port, GATEWAY)
    tls: ssl.SSLContext | None = found.access.tls
    where = f"[{found.host}]" if ":" in found.host else found.host
    address = f"{'http' if tls is None else 'https'}://{where}:{found.port}/{path}"
    try:
        with urllib.request.urlopen(address, timeout=_PATIENCE_SECONDS, context=tls) as answer:  # noqa: S310 - http or https
            reply: dict[str, Any] = json_format.load(answer)
    except urllib.error.HTTPError as answer:
        with answer:
            reply = json_format.load(answer)
    except OSError as error:
        raise Unreachable(f"no gateway answers at {address}: {error}", hint="is it running?") from None
    return reply
