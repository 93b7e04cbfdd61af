"""Settings: a flag beats the environment, the environment beats the file, the file beats the default.

A service declares its settings as one frozen msgspec Struct whose fields are the lower-case names. A
wrong value stops the start with its name, its value, where it came from and what was expected.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import dotenv
import msgspec
from msgspec import Meta

from shared.domain.errors import StartupError

T = TypeVar("T", bound=msgspec.Struct)

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]

_FIELD = re.compile(r" - at `\$\.(\w+)`$")
_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}


def load(kind: type[T], *, flags: Mapping[str, Any], environ: Mapping[str, str]) -> T:
    """The settings of `kind`. The file is `.env.local`, or what ENV_FILE names.

    Raises StartupError for a value that does not fit, and for an ENV_FILE that is not there.
    """
    path = Path(environ.get("ENV_FILE") or ".env.local")
    if "ENV_FILE" in environ and not path.exists():
        raise StartupError(f"ENV_FILE={path} is not there", hint="name an existing file, or unset ENV_FILE")
    file = {name: value for name, value in dotenv.dotenv_values(path).items() if value is not None}
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for source, found in ((str(path), file), ("the environment", environ), ("a flag", flags)):
        for field in kind.__struct_fields__:
            value = found.get(field.upper())
            if value not in (None, ""):
                values[field], origins[field] = value, source
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _explain(str(error), kind, values, origins) from None


def parse_flags(
    kind: type[msgspec.Struct], argv: Sequence[str], *, prog: str, description: str, names: Mapping[str, str]
) -> dict[str, str]:
    """The settings given on the command line; `names` maps each flag to its setting."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    defaults = {field.name.upper(): field.default for field in msgspec.structs.fields(kind)}
    for flags, setting in names.items():
        parser.add_argument(
            *flags.split("/"), dest=setting, metavar=setting, help=f"the setting {setting}, default {defaults[setting]}"
        )
    return {name: value for name, value in vars(parser.parse_args(argv)).items() if value is not None}


def _choices(kind: type[msgspec.Struct], field: str) -> list[str]:
    """What a setting can be chosen from; nothing where it is not a choice."""
    (declared,) = (one for one in msgspec.structs.fields(kind) if one.encode_name == field)
    info = msgspec.inspect.type_info(declared.type)
    return [str(value) for value in info.values] if isinstance(info, msgspec.inspect.LiteralType) else []


def _explain(
    message: str, kind: type[msgspec.Struct], values: Mapping[str, Any], origins: Mapping[str, str]
) -> StartupError:
    found = _FIELD.search(message)
    if found is None:
        return StartupError(f"the settings are wrong: {message}", hint="see .env.local for every setting")
    field = found[1]
    expected = message[: found.start()]
    for name, words in _KINDS.items():
        expected = expected.replace(f"`{name}`", words)
    expected = expected.partition(", got ")[0]
    expected = expected[0].lower() + expected[1:]
    if choices := _choices(kind, field):
        expected = f"one of {', '.join(choices)} is expected"
    origin = origins.get(field, "its default")
    return StartupError(
        f"{field.upper()}={values.get(field)} (from {origin}) is wrong: {expected}",
        hint=f"mend {field.upper()} there; .env.local has a valid value for every setting",
    )
