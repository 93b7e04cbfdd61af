"""The servers: whether each of them answers, and where none does, whether its port can be had."""

import errno
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from clients.tools.doctor.findings import DoctorSettings, Finding
from shared.domain.errors import ComandaError
from shared.runtime.programs import client_command, run_command, server_command


class Place(NamedTuple):
    """Where one server is."""

    server: str
    setting: str
    """What its settings begin with."""
    bind: str
    port: int


class Seen(NamedTuple):
    """What came of asking a server: its status, or why there is none."""

    status: str | None
    reason: str = ""


Ask = Callable[[str], Awaitable[str]]
"""Asks a server by its name how it is. Raises ComandaError."""

_FIT = ("ok", "degraded", "stopping")


def places_of(settings: DoctorSettings) -> list[Place]:
    """Returns where the servers listen that are there with this store."""
    found = [
        Place("intake", "SERVER", settings.server_bind or settings.server_host, settings.server_port),
        Place(
            "persistence",
            "TCP_PERSIST",
            settings.tcp_persist_bind or settings.tcp_persist_host,
            settings.tcp_persist_port,
        ),
        Place(
            "distributed",
            "DISTRIBUTED",
            settings.distributed_bind or settings.distributed_host,
            settings.distributed_port,
        ),
        Place(
            "gateway", "MAIN_SERVER", settings.main_server_bind or settings.main_server_host, settings.main_server_port
        ),
    ]
    return [one for one in found if settings.store == "sqlite" or one.server != "distributed"]


async def check_servers(settings: DoctorSettings, ask: Ask) -> list[Finding]:
    """Asks every server; one that does not answer is an error where others do, and else the suite is not running."""
    places = places_of(settings)
    seen = {one.server: await _ask(ask, one.server) for one in places}
    runs = any(state.status is not None for state in seen.values())
    findings = [_finding(one, seen[one.server], runs=runs) for one in places]
    if seen["persistence"].status is not None:
        findings.append(_finding_without_port("inventory", await _ask(ask, "inventory")))
    return findings


async def _ask(ask: Ask, server: str) -> Seen:
    try:
        return Seen(await ask(server))
    except (ComandaError, OSError, ValueError) as error:
        return Seen(None, error.message if isinstance(error, ComandaError) else str(error))


def _finding(place: Place, seen: Seen, *, runs: bool) -> Finding:
    if seen.status is not None:
        told = f"answers on port {place.port}: {seen.status}"
        if seen.status in _FIT:
            return Finding("ok", place.server, told)
        return Finding("warning", place.server, told, f"{client_command()} ready {place.server}; see its log")
    trouble = try_port(place.bind, place.port)
    if trouble is None:
        told = f"does not run; its port {place.port} is free"
        return Finding("error" if runs else "warning", place.server, told, f"start it: {run_command()}")
    name = f"{place.setting}_PORT"
    match trouble:
        case errno.EADDRINUSE:
            told = f"another program has its port {place.port}, or it does not answer: {seen.reason}"
            cure = f"see who has it (ss -ltnp 'sport = :{place.port}'), and end that or change {name}"
        case errno.EACCES:
            told, cure = f"this user may not listen on port {place.port}", f"choose {name} above 1023"
        case _:
            told = f"does not answer at {place.bind}, which is no address of this machine: {seen.reason}"
            cure = f"start it there, or change {place.setting}_HOST"
    return Finding("error", place.server, told, cure)


def _finding_without_port(server: str, seen: Seen) -> Finding:
    if seen.status in _FIT:
        return Finding("ok", server, f"was heard lately: {seen.status}")
    return Finding("warning", server, seen.reason or "was not heard lately", f"start it: {server_command(server)}")


def try_port(host: str, port: int) -> int | None:
    """Returns the number of the error with which a server could not listen there; None where it could."""
    for family, address in _addresses(host, port):
        try:
            with socket.create_server((address, port), family=family):
                pass
        except OSError as error:
            # A machine without IPv6 is no fault of the port.
            if error.errno != errno.EAFNOSUPPORT:
                return error.errno or errno.EADDRNOTAVAIL
    return None


def _addresses(host: str, port: int) -> Iterable[tuple[socket.AddressFamily, str]]:
    if host == "::":
        return [(socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        # A name that means nothing is no address of this machine.
        return [(socket.AF_INET, "192.0.2.1")]
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
