"""Loads settings. Flags override the environment, which overrides the files, which override the defaults.

A service declares its settings as one frozen msgspec Struct whose fields are the lower-case names. An invalid value
stops the start with its name, value, source, and the expected value.
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
Token = Annotated[str, Meta(min_length=16, extra={"secret": True})]
Key = Annotated[str, Meta(min_length=32, extra={"secret": True})]
SecretText = Annotated[str, Meta(extra={"secret": True})]
SecretUrl = Annotated[str, Meta(extra={"secret": True})]
"""A URL that may contain a password."""
Prefix = Annotated[str, Meta(extra={"may_be_empty": True})]
"""A prefix of names. An empty value means no prefix; any other empty setting means its default."""

_FIELD = re.compile(r" - at `\$\.(\w+)`$")
_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}


def load_settings(kind: type[T], *, flags: Mapping[str, Any], environ: Mapping[str, str]) -> T:
    """Returns the settings of `kind`.

    Raises StartupError for an invalid value, and for a missing ENV_FILE.
    """
    if environ.get("ENV_FILE") and not Path(environ["ENV_FILE"]).exists():
        raise StartupError(
            f"ENV_FILE={environ['ENV_FILE']} does not exist", hint="name an existing file, or unset ENV_FILE"
        )
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for source, found in (*read_settings_files(environ), ("the environment", environ), ("a flag", flags)):
        for field in kind.__struct_fields__:
            value = found.get(field.upper())
            if value or (value == "" and _is_marked(kind, field, "may_be_empty")):
                values[field], origins[field] = value, source
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _build_error(str(error), kind, values, origins) from None


def read_settings_files(environ: Mapping[str, str]) -> list[tuple[str, Mapping[str, str]]]:
    """Returns the name and the settings of each settings file; later files override earlier ones.

    The files are `.env.local` with the defaults of the project, and `.env`, which belongs to the operator and is not
    tracked by git. ENV_FILE replaces both by another file. Missing files have no settings.
    """
    named = environ.get("ENV_FILE")
    found: list[tuple[str, Mapping[str, str]]] = []
    for path in [named] if named else [".env.local", ".env"]:
        values = dotenv.dotenv_values(path)
        found.append((path, {name: value for name, value in values.items() if value is not None}))
    return found


def parse_flags(
    kind: type[msgspec.Struct], argv: Sequence[str], *, prog: str, description: str, names: Mapping[str, str]
) -> dict[str, str]:
    """Returns the settings from the command line; `names` maps each flag to its setting."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    defaults = {field.name.upper(): field.default for field in msgspec.structs.fields(kind)}
    for flags, setting in names.items():
        parser.add_argument(
            *flags.split("/"),
            dest=setting,
            metavar=setting,
            help=f"the setting {setting}{_format_default(defaults[setting])}",
        )
    return {name: value for name, value in vars(parser.parse_args(argv)).items() if value is not None}


def _format_default(value: Any) -> str:
    return "" if value is None else f", default {value}"


def _type_info(kind: type[msgspec.Struct], field: str) -> msgspec.inspect.Type:
    (declared,) = (one for one in msgspec.structs.fields(kind) if one.encode_name == field)
    return msgspec.inspect.type_info(declared.type)


def _list_choices(kind: type[msgspec.Struct], field: str) -> list[str]:
    """Returns the values of a setting with a fixed choice; an empty list for other settings."""
    info = _type_info(kind, field)
    return [str(value) for value in info.values] if isinstance(info, msgspec.inspect.LiteralType) else []


def _is_secret(kind: type[msgspec.Struct], field: str) -> bool:
    """Whether the value of a setting must not be shown."""
    return _is_marked(kind, field, "secret")


def _is_marked(kind: type[msgspec.Struct], field: str, mark: str) -> bool:
    info = _type_info(kind, field)
    alternatives = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    return any(
        isinstance(one, msgspec.inspect.Metadata) and bool(one.extra and one.extra.get(mark)) for one in alternatives
    )


def _build_error(
    message: str, kind: type[msgspec.Struct], values: Mapping[str, Any], origins: Mapping[str, str]
) -> StartupError:
    found = _FIELD.search(message)
    if found is None:
        return StartupError(f"the settings are invalid: {message}", hint="see .env.local for every setting")
    field = found[1]
    expected = message[: found.start()]
    for name, words in _KINDS.items():
        expected = expected.replace(f"`{name}`", words)
    expected = expected.partition(", got ")[0]
    expected = expected[0].lower() + expected[1:]
    if choices := _list_choices(kind, field):
        expected = f"one of {', '.join(choices)} is expected"
    origin = origins.get(field, "its default")
    name = field.upper()
    if _is_secret(kind, field):
        # A nearly correct secret is still a secret, and messages are logged.
        return StartupError(
            f"{name} (from {origin}) is wrong: {expected}", hint=f"change {name} there, or leave it out"
        )
    return StartupError(
        f"{name}={values.get(field)} (from {origin}) is wrong: {expected}",
        hint=f"correct {name} there; .env.local has a valid value for every setting",
    )
