"""Names of covers of books, and where they are stored.

A name has digits of its book and of its content. So a name never has another content, browsers may keep it for good,
and removing the cover of one book takes nothing from another.
"""

import re
from typing import Final

from shared.domain.tenants import TENANT_PATTERN

COVERS: Final = "covers"
"""The folder of covers within the folder of data."""
COVER_DIGITS: Final = 40
"""Hexadecimal digits of a name."""

_NAME: Final = re.compile(rf"[0-9a-f]{{{COVER_DIGITS}}}(-small)?\.webp", re.ASCII)
_TENANT: Final = re.compile(TENANT_PATTERN)
_FOLDER_DIGITS: Final = 2


def is_cover_name(name: str) -> bool:
    """Whether a text is the name of one size of a cover."""
    return _NAME.fullmatch(name) is not None


def small_cover(name: str) -> str:
    """Returns the name of the small size of a cover, by the name or the address of the large one."""
    return name.replace(".webp", "-small.webp")


def is_small_cover(name: str) -> bool:
    """Whether the name of a cover is that of its small size."""
    return name.endswith("-small.webp")


def cover_file(tenant: str, name: str) -> str:
    """Returns the path of a cover below the folder of covers, which spreads files over 256 folders of a tenant."""
    return f"{tenant}/{name[:_FOLDER_DIGITS]}/{name}"


def is_cover_file(path: str) -> bool:
    """Whether a path below the folder of covers is one of `cover_file`."""
    tenant, _, rest = path.partition("/")
    name = rest.rpartition("/")[2]
    return is_cover_name(name) and _TENANT.fullmatch(tenant) is not None and path == cover_file(tenant, name)
