"""Problem details (RFC 9457): the one place where errors become HTTP responses."""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from clients.errors import Refused
from shared.domain.errors import ComandaError, ErrorReason, NotOffered, RequestError

MEDIA_TYPE = "application/problem+json"

STATUS = {
    "invalid_json": 400,
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "timeout": 408,
    "conflict": 409,
    "gone": 410,
    "precondition_failed": 412,
    "too_large": 413,
    "unsupported_media_type": 415,
    "invalid_params": 422,
    "rate_limited": 429,
    "headers_too_large": 431,
    "internal_error": 500,
    "queue_full": 503,
    "unavailable": 503,
    "db_error": 503,
    "deadline_exceeded": 504,
}
"""The HTTP status of each code."""

TITLES = {
    "invalid_json": "The body is not JSON",
    "bad_request": "The request is not HTTP as it should be",
    "unauthorized": "This needs a sign-in",
    "forbidden": "This is not allowed",
    "not_found": "There is nothing here",
    "method_not_allowed": "This cannot be done here",
    "timeout": "The request came too slowly",
    "conflict": "What is stored contradicts the request",
    "gone": "It is not stored any longer",
    "precondition_failed": "It was changed by another client",
    "too_large": "The request is too large",
    "unsupported_media_type": "The body is of a kind that is not read here",
    "invalid_params": "A value is wrong",
    "rate_limited": "Too many requests",
    "headers_too_large": "The headers are too large",
    "internal_error": "The server failed",
    "queue_full": "Too many orders are open",
    "unavailable": "Come back later",
    "db_error": "The store refused",
    "deadline_exceeded": "No answer in time",
}

_RETRY_STATUS = {429, 503, 504}
_NOT_OFFERED = (501, "This suite does not have it")
_encode = msgspec.json.Encoder(decimal_format="number").encode


class MethodNotAllowed(RequestError):
    """The address is right and the method is not; `allowed` are those that are."""

    code = "method_not_allowed"

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(
            "this cannot be done here",
            hint=f"methods: {', '.join(allowed)}",
            reason=ErrorReason("method_not_allowed", allowed=list(allowed)),
        )
        self.allowed = allowed


class UnsupportedMediaType(RequestError):
    """A body that does not say that it is JSON."""

    code = "unsupported_media_type"


class BadRequest(RequestError):
    """The request is not valid HTTP."""

    code = "bad_request"


class HeadersTooLarge(RequestError):
    """More header than anybody needs."""

    code = "headers_too_large"


class FieldFault(Struct, frozen=True):
    """A fault of one member of a request, or of one line of a cart."""

    field: str
    code: str
    params: dict[str, Any]
    message: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """An error and its remedy. Programs look at `error`, and at `code` to tell their users in their language."""

    type: Annotated[str, Meta(description="`urn:comanda:error:` and the code")]
    title: str
    status: int
    detail: Annotated[str, Meta(description="What is wrong with this very request")]
    error: Annotated[str, Meta(description="The code, as docs/PROTOCOL.md lists it")]
    code: Annotated[str, Meta(description="The precise reason, as docs/PROTOCOL.md lists it; else that in `error`")]
    params: Annotated[dict[str, Any], Meta(description="The values that a text about `code` needs")]
    request_id: Annotated[str, Meta(description="Names the request in the logs of every server")]
    errors: Annotated[
        Sequence[FieldFault] | None, Meta(description="All faults of members of the request, if there are any")
    ] = None
    field: Annotated[str | None, Meta(description="Where it is wrong")] = None
    line: int | None = None
    column: int | None = None
    hint: Annotated[str | None, Meta(description="How to mend it")] = None
    example: Any = None
    retry_after_ms: int | None = None
    report: Annotated[Any, Meta(description="Of a file: everything that was found in it")] = None
    cart: Annotated[Any, Meta(description="Of a cart: the `reason`, and the lines that cannot be bought")] = None


class Refusal(Struct, frozen=True):
    """An error response: status, headers and body."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def problem(error: ComandaError, request_id: str) -> Problem:
    """Returns the problem details of an error; errors of other servers keep their message."""
    code, details = error.code, error.details
    line, column, example = error.line, error.column, error.example
    if isinstance(error, Refused):
        code, details = error.error, error.reply
        line, column, example = details.get("line"), details.get("column"), details.get("example")
    if code not in STATUS:
        code = "internal_error"
    status, title = _NOT_OFFERED if isinstance(error, NotOffered) else (STATUS[code], TITLES[code])
    retry = details.get("retry_after_ms")
    if retry is None and status in _RETRY_STATUS:
        retry = 1000
    reason = error.reason or ErrorReason(code)
    params = reason.params if retry is None else {"seconds": _whole_seconds(retry), **reason.params}
    return Problem(
        type=f"urn:comanda:error:{code}",
        title=title,
        status=status,
        detail=error.message,
        error=code,
        code=reason.code,
        params=params,
        errors=_list_faults(error, code) or None,
        request_id=request_id,
        field=error.field,
        line=line,
        column=column,
        hint=error.hint,
        example=example,
        retry_after_ms=retry,
        report=details.get("report"),
        cart=details.get("cart"),
    )


def _list_faults(error: ComandaError, code: str) -> list[FieldFault]:
    """Returns the faults of an error; an error with a field is one itself."""
    found = error.faults or ([error] if error.field is not None else [])
    reasons = [(fault, fault.reason or ErrorReason(code)) for fault in found]
    return [FieldFault(fault.field or "", reason.code, reason.params, fault.message) for fault, reason in reasons]


def _whole_seconds(milliseconds: int) -> int:
    return max(math.ceil(milliseconds / 1000), 1)


def problem_response(error: ComandaError, request_id: str) -> Refusal:
    """Returns the response to a request that fails with `error`."""
    details = problem(error, request_id)
    body = _encode(details)
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
    if details.retry_after_ms is not None:
        headers.append((b"retry-after", b"%d" % _whole_seconds(details.retry_after_ms)))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    if details.status == STATUS["unauthorized"]:
        headers.append((b"www-authenticate", b'Bearer realm="comanda"'))
    return Refusal(details.status, headers, body)
