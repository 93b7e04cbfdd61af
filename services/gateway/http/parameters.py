"""Parameters that several routes share."""

from typing import Annotated

from msgspec import Meta, Struct

Limit = Annotated[int, Meta(ge=1, le=1000, description="How many, at most")]
Cursor = Annotated[str, Meta(max_length=600, description="From the page before")]
UserId = Annotated[int, Meta(ge=-(10**15), le=10**15)]
AskingUser = Annotated[UserId | None, Meta(description="In development alone; else the token says it")]


class Match(Struct, frozen=True, rename={"if_match": "if-match"}):
    """The header of conditional changes."""

    if_match: Annotated[str | None, Meta(description="The ETag that was seen: nothing is done to another version")] = (
        None
    )


class NoneMatch(Struct, frozen=True, rename={"if_none_match": "if-none-match"}):
    """The header of conditional reads."""

    if_none_match: Annotated[str | None, Meta(description="The ETag that is there already: 304 if it is the same")] = (
        None
    )


class AsUser(Struct, frozen=True, forbid_unknown_fields=True):
    """A user."""

    user_id: AskingUser = None
