"""Checks the servers: their status, and for a server without an answer, its port."""

import errno
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from clients.tools.doctor.findings import DoctorSettings, Finding
from shared.domain.errors import ComandaError
from shared.runtime.programs import client_command, run_command, server_command


class ServerAddress(NamedTuple):
    """The address of a server."""

    server: str
    setting: str
    """The prefix of its settings."""
    bind: str
    port: int


class ServerStatus(NamedTuple):
    """The status of a server, or the reason that there is none."""

    status: str | None
    reason: str = ""


StatusRequest = Callable[[str], Awaitable[str]]
"""Requests the status of a server by its name. Raises ComandaError."""

_FIT = ("ok", "degraded", "stopping")


def list_server_addresses(settings: DoctorSettings) -> list[ServerAddress]:
    """Returns the addresses of the servers that belong to this kind of store."""
    found = [
        ServerAddress("intake", "SERVER", settings.server_bind or settings.server_host, settings.server_port),
        ServerAddress(
            "persistence",
            "TCP_PERSIST",
            settings.tcp_persist_bind or settings.tcp_persist_host,
            settings.tcp_persist_port,
        ),
        ServerAddress(
            "distributed",
            "DISTRIBUTED",
            settings.distributed_bind or settings.distributed_host,
            settings.distributed_port,
        ),
        ServerAddress(
            "gateway", "MAIN_SERVER", settings.main_server_bind or settings.main_server_host, settings.main_server_port
        ),
    ]
    return [one for one in found if settings.store == "sqlite" or one.server != "distributed"]


async def check_servers(settings: DoctorSettings, ask: StatusRequest) -> list[Finding]:
    """Checks all servers. A missing one is an error if others run; otherwise the suite is not running."""
    addresses = list_server_addresses(settings)
    seen = {one.server: await _request_status(ask, one.server) for one in addresses}
    runs = any(state.status is not None for state in seen.values())
    findings = [_assess_server(one, seen[one.server], runs=runs) for one in addresses]
    if seen["persistence"].status is not None:
        for server in ("inventory", "shop", *(["lake"] if settings.lake == "on" else [])):
            findings.append(_assess_portless_server(server, await _request_status(ask, server)))
    return findings


async def _request_status(ask: StatusRequest, server: str) -> ServerStatus:
    try:
        return ServerStatus(await ask(server))
    except (ComandaError, OSError, ValueError) as error:
        return ServerStatus(None, error.message if isinstance(error, ComandaError) else str(error))


def _assess_server(address: ServerAddress, seen: ServerStatus, *, runs: bool) -> Finding:
    if seen.status is not None:
        told = f"answers on port {address.port}: {seen.status}"
        if seen.status in _FIT:
            return Finding("ok", address.server, told)
        return Finding("warning", address.server, told, f"{client_command()} ready {address.server}; see its log")
    trouble = probe_port(address.bind, address.port)
    if trouble is None:
        told = f"does not run; its port {address.port} is free"
        return Finding("error" if runs else "warning", address.server, told, f"start it: {run_command()}")
    name = f"{address.setting}_PORT"
    match trouble:
        case errno.EADDRINUSE:
            told = f"another program has its port {address.port}, or it does not answer: {seen.reason}"
            cure = f"see who has it (ss -ltnp 'sport = :{address.port}'), and end that or change {name}"
        case errno.EACCES:
            told, cure = f"this user may not listen on port {address.port}", f"choose {name} above 1023"
        case _:
            told = f"does not answer at {address.bind}, which is no address of this machine: {seen.reason}"
            cure = f"start it there, or change {address.setting}_HOST"
    return Finding("error", address.server, told, cure)


def _assess_portless_server(server: str, seen: ServerStatus) -> Finding:
    if seen.status in _FIT:
        return Finding("ok", server, f"was heard lately: {seen.status}")
    return Finding("warning", server, seen.reason or "was not heard lately", f"start it: {server_command(server)}")


def probe_port(host: str, port: int) -> int | None:
    """Returns the errno with which a server cannot listen there; None if it can."""
    for family, address in _resolve_addresses(host, port):
        try:
            with socket.create_server((address, port), family=family):
                pass
        except OSError as error:
            # A machine without IPv6 is not an error of the port.
            if error.errno != errno.EAFNOSUPPORT:
                return error.errno or errno.EADDRNOTAVAIL
    return None


def _resolve_addresses(host: str, port: int) -> Iterable[tuple[socket.AddressFamily, str]]:
    if host == "::":
        return [(socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        # An unknown name is not an address of this machine.
        return [(socket.AF_INET, "192.0.2.1")]
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
