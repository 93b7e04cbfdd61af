"""The description of the API (OpenAPI 3.1), from the routes themselves."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from services.gateway.http.principal import RouteAccess
from services.gateway.http.problems import MEDIA_TYPE, STATUS, TITLES, Problem
from services.gateway.http.routes import Route, placeholders
from shared import VERSION
from shared.domain.stock import MAX_ITEM_CHARACTERS
from shared.domain.tenants import MAIN

_INTRODUCTION = """Orders, stock, scores and tasks over HTTP. Every error is `application/problem+json`: `error` is its
code, `detail` says what is wrong, `field` where, `hint` how to mend it. An order that was answered is on disk."""
# What any route may end in.
_ALWAYS = ("bad_request", "headers_too_large", "internal_error", "unavailable")
_SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token (JWT) of an account, an API key, or the token of a player",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "comanda_session",
        "description": "The session of the dashboard; with TLS its name begins with `__Host-`",
    },
}
_WITH_BODY = ("invalid_json", "invalid_params", "too_large", "unsupported_media_type", "timeout")


def describe_api(routes: Sequence[Route], *, open_to_all: bool) -> bytes:
    """Returns the description as JSON; `open_to_all` says that no route needs credentials."""
    listed = [route for route in routes if route.listed]
    kinds: dict[Any, None] = {Problem: None}
    for route in listed:
        answered = [meant.kind for meant in route.responses.values()]
        named = (route.query, route.headers, route.body, *answered)
        kinds |= dict.fromkeys(kind for kind in named if kind is not None)
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    by_kind = dict(zip(kinds, schemas, strict=True))
    parameters = {kind for route in listed for kind in (route.query, route.headers) if kind is not None}
    fields = {kind: components.pop(kind.__name__) for kind in parameters}
    paths: dict[str, dict[str, Any]] = {}
    for route in listed:
        paths.setdefault(route.path, {})[route.method.lower()] = _describe_route(route, by_kind, fields, open_to_all)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Comanda", "version": VERSION, "description": _INTRODUCTION},
        "tags": [{"name": name} for name in dict.fromkeys(route.tag for route in listed)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }
    return msgspec.json.encode(_write_decimals_as_numbers(document))


def _describe_route(
    route: Route, schemas: dict[Any, Any], fields: dict[type[Struct], Any], open_to_all: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "tags": [route.tag],
        "summary": route.summary,
        "operationId": route.id,
        "parameters": _describe_parameters(route, fields),
        "responses": _describe_responses(route, schemas),
    }
    if route.description:
        found["description"] = route.description
    if route.body is not None:
        content = {"application/json": {"schema": schemas[route.body], "example": route.example}}
        found["requestBody"] = {"required": True, "content": content}
    if route.upload:
        schema = {"type": "string", "format": "binary"}
        content = {kind: {"schema": schema} for kind in route.upload}
        found["requestBody"] = {"required": True, "content": content}
    return found | _describe_access(route.access, open_to_all)


def _describe_access(access: RouteAccess, open_to_all: bool) -> dict[str, Any]:
    """Returns the members of a route that name its credentials, roles and tenant."""
    if access.public:
        return {"security": []}
    security: list[dict[str, list[str]]] = [{"bearer": []}]
    if access.roles or access.signed_in:
        security.append({"session": []})
    if open_to_all:
        security.append({})
    found: dict[str, Any] = {"security": security, "x-roles": sorted(access.roles)}
    if access.players:
        found["x-players"] = True
    if access.installation:
        found["x-tenant"] = MAIN
    return found


def _describe_parameters(route: Route, fields: dict[type[Struct], Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in placeholders(route.path):
        schema = {"type": "string", "minLength": 1, "maxLength": 64 if name == "id" else MAX_ITEM_CHARACTERS}
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    for kind, place in ((route.query, "query"), (route.headers, "header")):
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
    """Returns a schema without null: optional parameters are omitted, not null."""
    choices = schema.get("anyOf")
    if choices is None:
        return schema
    left = [choice for choice in choices if choice != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**left[0], **rest} if len(left) == 1 else {**rest, "anyOf": left}


def _describe_responses(route: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, meant in route.responses.items():
        found[str(status)] = {"description": meant.description}
        if meant.kind is not None:
            found[str(status)]["content"] = {meant.media_type: {"schema": schemas[meant.kind]}}
    codes: dict[int, list[str]] = {}
    for code in dict.fromkeys((*route.errors, *_common_errors(route))):
        codes.setdefault(STATUS[code], []).append(code)
    for status, named in codes.items():
        text = "; ".join(f"{TITLES[code]} (`{code}`)" for code in named)
        content = {MEDIA_TYPE: {"schema": schemas[Problem]}}
        if str(status) in found:
            content |= found[str(status)]["content"]
            text = f"{found[str(status)]['description']}; {text}"
        found[str(status)] = {"description": text, "content": content}
    return found


def _common_errors(route: Route) -> list[str]:
    """The codes that follow from what an route is."""
    codes = list(_ALWAYS)
    if route.body is not None or route.upload:
        codes += _WITH_BODY
    if route.query is not None or route.headers is not None or placeholders(route.path):
        codes.append("invalid_params")
    if route.body is None and route.method == "POST":
        codes.append("forbidden")
    if not route.access.public:
        codes += ("unauthorized", "forbidden")
    if route.access.players:
        codes.append("invalid_params")
    if route.limited:
        codes.append("rate_limited")
    return codes


def _write_decimals_as_numbers(schema: Any) -> Any:
    """Returns a schema with decimals as numbers; the library describes them as strings."""
    if isinstance(schema, list):
        return [_write_decimals_as_numbers(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "decimal":
        return {**{key: value for key, value in schema.items() if key != "format"}, "type": "number"}
    return {key: _write_decimals_as_numbers(value) for key, value in schema.items()}
