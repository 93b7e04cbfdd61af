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
from clients.tools.backup.locations import StoreLocations
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


async def run_doctor(
    *,
    json: Annotated[
        bool, Parameter(negative="", show_default=False, help="One JSON line a finding, also on a terminal.")
    ] = False,
) -> int:
    """Examine this installation: settings, machine, files, servers, backups; and suggest a cure for each problem.

    It changes nothing. Exit status 1 after an error; warnings do not count.
    """
    settings = load_settings(DoctorSettings, flags={}, environ=os.environ)
    output = Output(json=json)
    findings: list[Finding] = []

    def add_findings(found: Iterable[Finding]) -> None:
        for finding in found:
            findings.append(finding)
            output.print_result(finding, _finding_row(finding))

    add_findings(check_settings(os.environ))
    add_findings([check_open_files(settings.max_connections), check_dual_stack()])
    if settings.store == "dynamodb":
        add_findings([check_clock(None), await check_dynamodb(settings)])
    else:
        add_findings([check_sqlite()])
        add_findings(_check_files(settings))
    add_findings(await check_servers(settings, check_server))
    return 1 if has_errors(findings) else 0


def _check_files(settings: DoctorSettings) -> Iterator[Finding]:
    data = Path(settings.data_dir)
    locations = StoreLocations(StoreFiles(Path(settings.db_path) if settings.db_path else data / "orders.db"), data)
    yield check_clock(find_newest_order(locations))
    for folder in locations.store_folders:
        if not folder.exists():
            yield Finding(
                "warning",
                "data",
                f"{folder} does not exist yet",
                "the first start creates it; or check DATA_DIR",
            )
            return
        if not os.access(folder, os.W_OK | os.X_OK):
            yield Finding("error", "data", f"{folder} cannot be written to", "change its owner, or DATA_DIR")
            return
        yield check_disk(folder, settings.disk_reserve_mib)
        yield check_fsync(folder)
    yield from check_owners(locations, os.geteuid())
    yield from check_schemas(locations)
    yield check_backup_age(data)


def _finding_row(finding: Finding) -> Table:
    """Returns a finding as a table row, with the same column widths as all others."""
    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_column(width=len("warning"), style=_STYLES[finding.level])
    row.add_column(width=len("persistence"), style="bold")
    row.add_column(overflow="fold")
    row.add_row(finding.level, finding.check, Text(make_printable(finding.found)))
    if finding.cure is not None:
        row.add_row("", "", Text(f"cure: {make_printable(finding.cure)}", style="dim"))
    return row
