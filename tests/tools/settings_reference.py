"""Prints docs/SETTINGS.md from the types of the settings and the comments in .env.local: `make settings` writes it."""

import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from services.distributed.settings import DistributedSettings
from services.gateway.settings import GatewaySettings
from services.intake.settings import IntakeSettings
from services.inventory.settings import InventorySettings
from services.lake.settings import LakeSettings
from services.persistence.settings import PersistenceSettings
from services.shop.settings import ShopSettings

ROOT = Path(__file__).parents[2]
SERVERS: Mapping[str, type[msgspec.Struct]] = {
    "intake": IntakeSettings,
    "persistence": PersistenceSettings,
    "distributed": DistributedSettings,
    "gateway": GatewaySettings,
    "inventory": InventorySettings,
    "shop": ShopSettings,
    "lake": LakeSettings,
}
_HEAD = """# Settings

<!-- Written by `make settings` from the types of the settings and the comments in .env.local. -->

Flags take precedence over the environment, the environment over the file `.env`, and `.env` over `.env.local`.
`ENV_FILE` names another file instead of these two. An empty value means the default, except for `DYNAMODB_PREFIX`. A
start fails with an explanation if a value is wrong, and reports names that no server reads. The defaults here are those
of the program: `.env.local` and `.env.docker` differ from them for development and for containers.
"""
_WIDTH = 120
_NAME = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b|(?<=[ .])_(?:HOST|BIND)\b")
_TYPES: Mapping[type[inspect.Type], str] = {
    inspect.IntType: "whole number",
    inspect.FloatType: "number",
    inspect.BoolType: "`true` or `false`",
    inspect.StrType: "text",
}


class Group(NamedTuple):
    """Settings of .env.local that share a comment."""

    section: str
    comment: str
    names: list[str]


def read_groups(path: Path) -> Iterator[Group]:
    """Yields the groups of a settings file in its order."""
    section = ""
    for block in path.read_text().split("\n\n"):
        lines = block.splitlines()
        section = next((line[3:] for line in lines if line.startswith("## ")), section)
        comment = " ".join(line[2:] for line in lines if line.startswith("# "))
        if names := [line.partition("=")[0] for line in lines if re.match("[A-Z]", line)]:
            yield Group(section, comment, names)


def describe_type(kind: Any) -> str:
    """Returns the values that a setting may have, in words."""
    info = inspect.type_info(kind)
    if isinstance(info, inspect.UnionType):
        (info,) = (one for one in info.types if not isinstance(one, inspect.NoneType))
    while isinstance(info, inspect.Metadata):
        info = info.type
    if isinstance(info, inspect.LiteralType):
        return " or ".join(f"`{value}`" for value in sorted(map(str, info.values)))
    bounds = []
    if isinstance(info, inspect.StrType):
        bounds = [] if info.min_length is None else [f"at least {info.min_length} characters"]
        bounds += [] if info.pattern is None else [f"`{info.pattern}`"]
    elif isinstance(info, inspect.IntType | inspect.FloatType):
        bounds += [] if info.gt is None else [f"more than {info.gt:,}"]
        bounds += [] if info.ge is None else [f"at least {info.ge:,}"]
        bounds += [] if info.le is None else [f"at most {info.le:,}"]
    return ", ".join([_TYPES[type(info)], *bounds])


def describe_default(value: object) -> str:
    """Returns the default of a setting as it is written in a settings file."""
    match value:
        case None | "":
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case float():
            return f"`{value:.10g}`"
        case _:
            return f"`{value}`"


def render_reference() -> str:
    """Returns the text of docs/SETTINGS.md."""
    fields = {field.encode_name.upper(): field for kind in SERVERS.values() for field in msgspec.structs.fields(kind)}
    readers = {
        name: [server for server, kind in SERVERS.items() if name.lower() in kind.__struct_fields__] for name in fields
    }
    lines, section = [_HEAD], ""
    for group in read_groups(ROOT / ".env.local"):
        if group.section != section:
            section = group.section
            lines += [f"## {section}", ""]
        comment = textwrap.fill(_NAME.sub(r"`\g<0>`", group.comment), _WIDTH, break_on_hyphens=False)
        lines += [comment, "", "| setting | value | default | read by |", "|---|---|---|---|"]
        for name in group.names:
            kind, default = describe_type(fields[name].type), describe_default(fields[name].default)
            servers = "all" if len(readers[name]) == len(SERVERS) else ", ".join(readers[name])
            lines.append(f"| `{name}` | {kind} | {default} | {servers} |".replace("|  |", "| |"))
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(render_reference())
