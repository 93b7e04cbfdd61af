"""Checks the machine: clock, open files, SQLite, addresses, and the names of settings."""

import resource
import socket
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from clients.tools.doctor.findings import Finding
from shared.runtime.setting_names import find_unknown_settings
from shared.stores.sqlite.database import sqlite

# The product is newer than 2026-01-01.
_EARLIEST = 1_767_225_600
_SPARE_FILES = 256
_OLDEST_SQLITE = (3, 35, 0)
_CLOCK_SLACK = 5.0


def check_settings(environ: Mapping[str, str]) -> Iterable[Finding]:
    """Finds settings that no server reads."""
    unknown = find_unknown_settings(environ)
    for one in unknown:
        cure = "remove it" if one.nearest is None else f"write {one.nearest}, if that is meant"
        yield Finding("warning", "settings", f"{one.name} (from {one.source}) is read by no server", cure)
    if not unknown:
        yield Finding("ok", "settings", "every name is known")


def check_clock(newest_order: int | None, now: float | None = None) -> Finding:
    """Compares the clock with the time of the newest order, in microseconds since the epoch."""
    seconds = time.time() if now is None else now
    cure = "set the clock, and let it follow a time server (timedatectl set-ntp true)"
    told = f"{datetime.fromtimestamp(seconds, UTC):%FT%TZ}"
    if seconds < _EARLIEST:
        return Finding("error", "clock", f"it says {told}, which has been", cure)
    if newest_order is not None and (ahead := newest_order / 1e6 - seconds) > _CLOCK_SLACK:
        return Finding("error", "clock", f"it says {told}, and the newest order is {ahead:.0f} s younger", cure)
    return Finding("ok", "clock", told)


def check_open_files(max_connections: int, hard: int | None = None) -> Finding:
    """Compares the limit of open files, which servers raise theirs to, with `MAX_CONNECTIONS`."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1] if hard is None else hard
    needed = max_connections + _SPARE_FILES
    if limit in (-1, resource.RLIM_INFINITY) or limit >= needed:
        return Finding("ok", "open files", "no limit" if limit in (-1, resource.RLIM_INFINITY) else f"up to {limit:,}")
    return Finding(
        "warning",
        "open files",
        f"a server may open {limit:,}, and MAX_CONNECTIONS={max_connections} needs {needed:,}",
        f"raise the limit (ulimit -Hn {needed}, LimitNOFILE of a unit), or set MAX_CONNECTIONS={limit - _SPARE_FILES}"
        if limit > _SPARE_FILES
        else f"raise the limit (ulimit -Hn {needed}, LimitNOFILE of a unit)",
    )


def check_sqlite(version: tuple[int, ...] = sqlite.sqlite_version_info) -> Finding:
    """Compares the version of SQLite with the one that the stores need."""
    told = ".".join(map(str, version))
    if version < _OLDEST_SQLITE:
        needed = ".".join(map(str, _OLDEST_SQLITE))
        return Finding("error", "sqlite", f"version {told}, and {needed} is needed", "use a newer Python, or system")
    return Finding("ok", "sqlite", f"version {told}")


def check_dual_stack() -> Finding:
    """Checks that one port can serve IPv4 and IPv6."""
    try:
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
            port = server.getsockname()[1]
            for address in ("127.0.0.1", "::1"):
                socket.create_connection((address, port), timeout=1).close()
    except (OSError, ValueError) as error:
        return Finding(
            "warning",
            "dual stack",
            f"one port does not serve IPv4 and IPv6: {error}",
            "enable IPv6 (net.ipv6.conf.all.disable_ipv6=0), or do without: servers listen on IPv4 then",
        )
    return Finding("ok", "dual stack", "IPv4 and IPv6 on one port")
