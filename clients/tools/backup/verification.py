"""Verifies that a backup is complete and consistent."""

from pathlib import Path

from clients.errors import ClientError
from clients.tools.backup.facts import find_inconsistencies, gather_facts
from clients.tools.backup.file_copies import ProgressCallback, Throttle, digest_file
from clients.tools.backup.locations import StoreLocations
from clients.tools.backup.manifest import Manifest, read_manifest
from shared.domain.errors import StoreError
from shared.stores.sqlite.database import newest_schema


def check_backup(folder: Path, locations: StoreLocations, throttle: Throttle, step: ProgressCallback) -> Manifest:
    """Reads every byte of a backup. Returns its manifest. Raises ClientError for a damaged backup."""
    manifest = read_manifest(folder)
    schemas = {one.name: one.schema for one in locations.store_files}
    for file in manifest.files:
        path = folder / file.name
        schema = schemas.get(file.name)
        if locations.find_location(file.name) is None:
            raise ClientError(f"{folder} names the file {file.name}, which this program does not know")
        if schema is not None and file.schema > newest_schema(schema):
            raise ClientError(
                f"{file.name} has schema version {file.schema}, which this program does not know",
                hint=f"use the program that made the backup, version {manifest.version}, or a newer one",
            )
        try:
            size = path.stat().st_size
            if size != file.bytes:
                raise _damaged_error(path, f"it has {size:,} bytes instead of {file.bytes:,}")
            if digest_file(path, throttle, step) != file.sha256:
                raise _damaged_error(path, "its checksum is not the one of the manifest")
        except OSError as error:
            raise _damaged_error(path, error.strerror or str(error)) from None
    files = {file.name: folder / file.name for file in manifest.files if file.name in schemas}
    try:
        facts = gather_facts(files)
        faults = find_inconsistencies(files, facts)
    except StoreError as error:
        raise ClientError(f"{folder} is damaged: {error.message}", hint="use another backup") from None
    if facts != manifest.facts:
        faults.append("the contents of the files differ from the manifest")
    if faults:
        raise ClientError(f"{folder} is damaged: {'; '.join(faults)}", hint="use another backup")
    return manifest


def _damaged_error(path: Path, reason: str) -> ClientError:
    return ClientError(f"{path} is damaged: {reason}", hint="use another backup")
