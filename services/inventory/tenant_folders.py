"""Imports the files of the tenants' folders: `uploads/TENANT`; those of `main` are in `uploads` itself."""

import asyncio
import math
import os
from pathlib import Path

import structlog

from clients.persistence import PersistenceClient
from services.inventory.folder import FolderImporter
from services.inventory.tenants import list_tenant_names
from shared.domain.errors import ComandaError
from shared.domain.tenants import MAIN, RESERVED_NAMES, check_tenant_name, is_tenant_name

_LIST_SECONDS = 10.0
"""Interval in which a folder of an unknown tenant has the tenants listed again."""


def tenant_folder(uploads: Path, tenant: str) -> Path:
    """Returns the folder of a tenant's uploads. Raises InvalidParams for a name that could lead elsewhere."""
    return uploads if tenant == MAIN else uploads / check_tenant_name(tenant)


class TenantFolders:
    """Scans the folders of all tenants except `main`, one after the other, until cancelled.

    Only folders that exist are scanned; links to folders and folders of unknown tenants are left alone.
    """

    def __init__(
        self,
        records: PersistenceClient,
        uploads: Path,
        *,
        max_bytes: int,
        keep_days: float = 0.0,
        scan_seconds: float = 2.0,
    ) -> None:
        self._records = records
        self._uploads = uploads
        self._max_bytes = max_bytes
        self._keep_days = keep_days
        self._scan_seconds = scan_seconds
        self._importers: dict[str, FolderImporter] = {}
        self._tenants: frozenset[str] = frozenset()
        self._listed_at = -math.inf
        self._unknown: frozenset[str] = frozenset()
        """Folders of unknown tenants at the last scan."""
        self._failing: set[str] = set()
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Scans the folders every few seconds."""
        while True:
            try:
                await self.scan_folders()
                self._failing.discard("")
            except (ComandaError, OSError) as error:
                self._log_failure("", error)
            await asyncio.sleep(self._scan_seconds)

    async def scan_folders(self) -> None:
        """Scans each folder once. Raises OSError if there is no list of folders, and ClientError if none of tenants."""
        names = await asyncio.to_thread(_list_folders, self._uploads)
        now = asyncio.get_running_loop().time()
        if not names <= self._tenants and now - self._listed_at >= _LIST_SECONDS:
            self._tenants = frozenset(await list_tenant_names(self._records))
            self._listed_at = now
        unknown = names - self._tenants
        if new := sorted(unknown - self._unknown):
            self._log.warning("uploads_of_unknown_tenant", folders=new[:10], hint="add the tenant: tenant add NAME")
        self._unknown = unknown
        for tenant in self._importers.keys() - names:
            del self._importers[tenant]
        for tenant in sorted(names & self._tenants):
            try:
                await self._get_importer(tenant).scan_folder()
                self._failing.discard(tenant)
            except (ComandaError, OSError) as error:
                self._log_failure(tenant, error)

    def _get_importer(self, tenant: str) -> FolderImporter:
        if tenant not in self._importers:
            self._importers[tenant] = FolderImporter(
                self._records.of(tenant),
                tenant_folder(self._uploads, tenant),
                max_bytes=self._max_bytes,
                keep_days=self._keep_days,
            )
        return self._importers[tenant]

    def _log_failure(self, tenant: str, error: ComandaError | OSError) -> None:
        if tenant not in self._failing:
            self._failing.add(tenant)
            reason = error.message if isinstance(error, ComandaError) else str(error)
            self._log.warning("folder_scan_failed", folder=str(self._uploads / tenant), reason=reason)


def _list_folders(uploads: Path) -> frozenset[str]:
    """Returns the names of subfolders that can be tenants'. Raises OSError."""
    try:
        with os.scandir(uploads) as entries:
            return frozenset(
                entry.name
                for entry in entries
                if is_tenant_name(entry.name)
                and entry.name not in (MAIN, *RESERVED_NAMES)
                and entry.is_dir(follow_symlinks=False)
            )
    except FileNotFoundError:
        return frozenset()
