"""The description of the API (OpenAPI 3.1), from the operations themselves."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from services.gateway.http.problems import MEDIA_TYPE, STATUS, TITLES, Problem
from services.gateway.http.router import Operation, places
from shared import VERSION
from shared.domain.stock import MAX_ITEM_CHARACTERS

_INTRODUCTION = """Orders, stock, scores and tasks over HTTP. Every error is `application/problem+json`: `error` is its
code, `detail` says what is wrong, `field` where, `hint` how to mend it. An order that was answered is on disk."""
# What any operation may end in.
_ALWAYS = ("bad_request", "headers_too_large", "internal_error", "unavailable")
_WITH_BODY = ("invalid_json", "invalid_params", "too_large", "unsupported_media_type", "timeout")


def describe(operations: Sequence[Operation]) -> bytes:
    """The description as JSON."""
    listed = [operation for operation in operations if operation.listed]
    kinds: dict[Any, None] = {Problem: None}
    for operation in listed:
        answered = [meant.kind for meant in operation.answers.values()]
        named = (operation.query, operation.headers, operation.body, *answered)
        kinds |= dict.fromkeys(kind for kind in named if kind is not None)
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    by_kind = dict(zip(kinds, schemas, strict=True))
    parameters = {kind for operation in listed for kind in (operation.query, operation.headers) if kind is not None}
    fields = {kind: components.pop(kind.__name__) for kind in parameters}
    paths: dict[str, dict[str, Any]] = {}
    for operation in listed:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, by_kind, fields)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Comanda", "version": VERSION, "description": _INTRODUCTION},
        "tags": [{"name": name} for name in dict.fromkeys(operation.tag for operation in listed)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }
    return msgspec.json.encode(_with_numbers(document))


def _described(operation: Operation, schemas: dict[Any, Any], fields: dict[type[Struct], Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "tags": [operation.tag],
        "summary": operation.summary,
        "operationId": operation.serve.__name__.strip("_") + "_" + operation.method.lower() + "_" + operation.tag,
        "parameters": _parameters(operation, fields),
        "responses": _responses(operation, schemas),
    }
    if operation.description:
        found["description"] = operation.description
    if operation.body is not None:
        content = {"application/json": {"schema": schemas[operation.body], "example": operation.example}}
        found["requestBody"] = {"required": True, "content": content}
    if operation.upload:
        schema = {"type": "string", "format": "binary"}
        content = {kind: {"schema": schema} for kind in operation.upload}
        found["requestBody"] = {"required": True, "content": content}
    if operation.bearer:
        found["security"] = [{"bearer": []}, {}]
    return found


def _parameters(operation: Operation, fields: dict[type[Struct], Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in places(operation.path):
        schema = {"type": "string", "minLength": 1, "maxLength": 64 if name == "id" else MAX_ITEM_CHARACTERS}
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    for kind, place in ((operation.query, "query"), (operation.headers, "header")):
        if kind is None:
            continue
        component = fields[kind]
        for name, property_schema in component["properties"].items():
            schema = {key: value for key, value in property_schema.items() if (key, value) != ("default", None)}
            parameter = {"name": name, "in": place, "required": name in component.get("required", ())}
            if description := schema.pop("description", None):
                parameter["description"] = description
            found.append({**parameter, "schema": _without_null(schema)})
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be left out is not sent as null."""
    choices = schema.get("anyOf")
    if choices is None:
        return schema
    left = [choice for choice in choices if choice != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**left[0], **rest} if len(left) == 1 else {**rest, "anyOf": left}


def _responses(operation: Operation, schemas: dict[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, meant in operation.answers.items():
        found[str(status)] = {"description": meant.description}
        if meant.kind is not None:
            found[str(status)]["content"] = {meant.media_type: {"schema": schemas[meant.kind]}}
    codes: dict[int, list[str]] = {}
    for code in dict.fromkeys((*operation.refusals, *_usual(operation))):
        codes.setdefault(STATUS[code], []).append(code)
    for status, named in codes.items():
        told = "; ".join(f"{TITLES[code]} (`{code}`)" for code in named)
        content = {MEDIA_TYPE: {"schema": schemas[Problem]}}
        if str(status) in found:
            content |= found[str(status)]["content"]
            told = f"{found[str(status)]['description']}; {told}"
        found[str(status)] = {"description": told, "content": content}
    return found


def _usual(operation: Operation) -> list[str]:
    """The codes that follow from what an operation is."""
    codes = list(_ALWAYS)
    if operation.body is not None or operation.upload:
        codes += _WITH_BODY
    if operation.query is not None or operation.headers is not None or places(operation.path):
        codes.append("invalid_params")
    if operation.body is None and operation.method == "POST":
        codes.append("forbidden")
    if operation.bearer:
        codes += ("unauthorized", "invalid_params")
    if operation.limited:
        codes.append("rate_limited")
    return codes


def _with_numbers(schema: Any) -> Any:
    """Decimals are written as numbers here, and as texts where the library describes them."""
    if isinstance(schema, list):
        return [_with_numbers(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "decimal":
        return {**{key: value for key, value in schema.items() if key != "format"}, "type": "number"}
    return {key: _with_numbers(value) for key, value in schema.items()}
