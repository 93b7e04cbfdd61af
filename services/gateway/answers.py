"""Answers in the product's JSON, entity tags, and what the API's description says of refusals."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Response
from litestar.openapi.datastructures import ResponseSpec

from services.gateway.problems import MEDIA_TYPE, STATUS, TITLES, Problem
from shared.domain.errors import PreconditionFailed

_encode = msgspec.json.Encoder(decimal_format="number").encode


def answer(
    content: Any, *, status: int = 200, etag: str | None = None, headers: Mapping[str, str] | None = None
) -> Response[Any]:
    """A JSON answer; numbers with decimals are written as they are."""
    sent = {**(headers or {}), **({"ETag": etag} if etag else {})}
    return Response(_encode(content), status_code=status, headers=sent, media_type="application/json")


def unchanged(etag: str) -> Response[Any]:
    """The answer to somebody who has it already."""
    return Response(None, status_code=304, headers={"ETag": etag})


def etag_of(content: Any) -> str:
    """An entity tag of something that has no version of its own."""
    return f'"{hashlib.sha256(_encode(content)).hexdigest()[:24]}"'


def is_named(etag: str, header: str | None) -> bool:
    """Whether a header `If-Match` or `If-None-Match` names this tag."""
    if header is None:
        return False
    named = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return "*" in named or etag in named


def check_match(etag: str, if_match: str | None) -> None:
    """Raises PreconditionFailed where the caller has seen another version."""
    if if_match is not None and not is_named(etag, if_match):
        raise PreconditionFailed(
            "what you have seen is not what is stored now",
            field="If-Match",
            hint="get it again, and send the ETag that comes with it",
        )


def refusals(*codes: str) -> dict[int, ResponseSpec]:
    """What the description says of an operation that may end in these codes, and in those that any may end in."""
    always = ("bad_request", "too_large", "rate_limited", "headers_too_large", "internal_error", "unavailable")
    by_status: dict[int, list[str]] = {}
    for code in (*codes, *always):
        by_status.setdefault(STATUS[code], []).append(code)
    return {
        status: ResponseSpec(
            data_container=Problem,
            generate_examples=False,
            media_type=MEDIA_TYPE,
            description="; ".join(f"{TITLES[code]} (`{code}`)" for code in dict.fromkeys(found)),
        )
        for status, found in by_status.items()
    }
