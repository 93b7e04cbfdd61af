"""The command `doctor`."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from clients.cli.output import Output
from clients.cli.readiness import check_server
from clients.cli.text import make_printable
from clients.tools.backup.places import Places
from clients.tools.doctor.aws import check_dynamodb
from clients.tools.doctor.files import (
    check_backup_age,
    check_disk,
    check_fsync,
    check_owners,
    check_schemas,
    find_newest_order,
)
from clients.tools.doctor.findings import DoctorSettings, Finding, has_errors
from clients.tools.doctor.servers import check_servers
from clients.tools.doctor.system import check_clock, check_dual_stack, check_open_files, check_settings, check_sqlite
from shared.runtime.settings import load_settings
from shared.stores.sqlite.files import StoreFiles

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


async def doctor(
    *,
    json: Annotated[
        bool, Parameter(negative="", show_default=False, help="One JSON line a finding, also on a terminal.")
    ] = False,
) -> int:
    """Examine this installation: settings, machine, files, servers, backups; and say how to cure what is wrong.

    It changes nothing. Exit status 1 when something is an error; warnings do not count.
    """
    settings = load_settings(DoctorSettings, flags={}, environ=os.environ)
    output = Output(json=json)
    findings: list[Finding] = []

    def show(found: Iterable[Finding]) -> None:
        for finding in found:
            findings.append(finding)
            output.print_result(finding, _shown(finding))

    show(check_settings(os.environ))
    show([check_open_files(settings.max_connections), check_dual_stack()])
    if settings.store == "dynamodb":
        show([check_clock(None), await check_dynamodb(settings)])
    else:
        show([check_sqlite()])
        show(_check_files(settings))
    show(await check_servers(settings, check_server))
    return 1 if has_errors(findings) else 0


def _check_files(settings: DoctorSettings) -> Iterator[Finding]:
    data = Path(settings.data_dir)
    places = Places(StoreFiles(Path(settings.db_path) if settings.db_path else data / "orders.db"), data)
    yield check_clock(find_newest_order(places))
    for folder in places.folders:
        if not folder.exists():
            yield Finding(
                "warning", "data", f"{folder} is not there yet", "the first start makes it; or check DATA_DIR"
            )
            return
        if not os.access(folder, os.W_OK | os.X_OK):
            yield Finding("error", "data", f"{folder} cannot be written to", "change its owner, or DATA_DIR")
            return
        yield check_disk(folder, settings.disk_reserve_mib)
        yield check_fsync(folder)
    yield from check_owners(places, os.geteuid())
    yield from check_schemas(places)
    yield check_backup_age(data)


def _shown(finding: Finding) -> Table:
    """A finding as a row of a table, whose columns are those of every other one."""
    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_column(width=len("warning"), style=_STYLES[finding.level])
    row.add_column(width=len("persistence"), style="bold")
    row.add_column(overflow="fold")
    row.add_row(finding.level, finding.check, Text(make_printable(finding.found)))
    if finding.cure is not None:
        row.add_row("", "", Text(f"cure: {make_printable(finding.cure)}", style="dim"))
    return row
