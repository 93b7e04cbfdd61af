"""The command that asks the gateway whether the suite can work."""

import json as json_format
import urllib.error
import urllib.request
from typing import Annotated, Any

from cyclopts import Parameter

from clients.cli.output import Output
from clients.cli.target import GATEWAY, target
from clients.errors import Unreachable

_PATIENCE_SECONDS = 5.0


def ready(
    *,
    host: Annotated[str | None, Parameter(help="The gateway's name or address; else MAIN_SERVER_HOST.")] = None,
    port: Annotated[int | None, Parameter(alias="-p", help="The gateway's port; else MAIN_SERVER_PORT.")] = None,
    json: Annotated[bool, Parameter(negative="", help="As a JSON line.")] = False,
) -> int:
    """Tell whether every server that is needed can work. Exit status 1 if not."""
    found = target(host, port, GATEWAY)
    tls = found.access.tls
    where = f"[{found.host}]" if ":" in found.host else found.host
    address = f"{'http' if tls is None else 'https'}://{where}:{found.port}/ready"
    try:
        with urllib.request.urlopen(address, timeout=_PATIENCE_SECONDS, context=tls) as answer:  # noqa: S310 - http or https
            told: dict[str, Any] = json_format.load(answer)
    except urllib.error.HTTPError as answer:
        with answer:
            told = json_format.load(answer)
    except OSError as error:
        raise Unreachable(f"no gateway answers at {address}: {error}", hint="is it running?") from None
    status = told["status"]
    Output(json=json).members(
        {"status": status, **{name: one["status"] for name, one in told.get("dependencies", {}).items()}}
    )
    return 0 if status in ("ok", "degraded") else 1
