"""The paths of the lake's files, relative to its root.

TENANT/purchase_events/year=2026/month=11/day=27/records-00000000000000000412.json
TENANT/purchases/year=2026/month=11/day=27/purchases.parquet
TENANT/books/books.parquet
"""

import hashlib
import re
from typing import Final

from shared.domain.tenants import check_tenant_name
from shared.lake.tables import LakeTable

EVENTS_ENDING: Final = ".json"

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SAFE: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_FOLDER: Final = re.compile(r"year=([0-9]{4})/month=([0-9]{2})/day=([0-9]{2})/")
_JOINED: Final = "joined-"
_DIGITS: Final = 20
_DIGEST: Final = 16


def day_folder(tenant: str, folder: str, day: str) -> str:
    """Returns the folder of a day, with a slash at its end. Raises InvalidParams and ValueError."""
    if _DAY.fullmatch(day) is None:
        raise ValueError(f"{day!r} is not a day")
    year, month, number = day.split("-")
    return f"{table_folder(tenant, folder)}year={year}/month={month}/day={number}/"


def table_folder(tenant: str, folder: str) -> str:
    """Returns the folder of a table or of its events, with a slash at its end. Raises InvalidParams."""
    return f"{check_tenant_name(tenant)}/{folder}/"


def state_path(tenant: str, table: LakeTable, day: str | None) -> str:
    """Returns the path of the Parquet file of a day, or of a table with a single file."""
    folder = table_folder(tenant, table.name) if day is None else day_folder(tenant, table.name, day)
    return f"{folder}{table.name}.parquet"


def name_batch(source: str, position: str | None) -> str:
    """Returns the name of the event files of a batch, made of the position before it.

    A batch that is written again has the same name, and replaces its files. Positions sort as they do in their store,
    where they are numbers; others are replaced by their digest.
    """
    if position is None:
        return f"{source}-first{EVENTS_ENDING}"
    text = position.replace(":", "-")
    if position.isdecimal():
        text = position.rjust(_DIGITS, "0")
    elif _SAFE.fullmatch(text) is None:
        text = hashlib.sha256(position.encode()).hexdigest()[:_DIGEST]
    return f"{source}-{text}{EVENTS_ENDING}"


def name_joined(path: str) -> str:
    """Returns the path of the file into which a file of events and those after it are joined."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/{_JOINED}{name}"


def is_joined(path: str) -> bool:
    """Whether files of events were joined into this one."""
    return path.rpartition("/")[2].startswith(_JOINED)


def day_of_path(path: str) -> str | None:
    """Returns the day of a file, for example 2026-11-27; None for one without a day."""
    found = _FOLDER.search(path)
    return None if found is None else "-".join(found.groups())
