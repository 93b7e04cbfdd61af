"""E-mail addresses in normal form, and ids of accounts."""

import uuid

import pytest

from shared.domain.accounts import SHARDS, new_user_id, normalize_email, shard_of
from shared.domain.errors import InvalidParams


@pytest.mark.parametrize(
    "text", ["ANA@x.es", "ana@X.es", "  ana@x.es ", "ana@x.es\u200b", "\uff21na@x.es".replace("\uff21", "A")]
)
def test_spellings_of_one_address_have_one_normal_form(text: str) -> None:
    assert normalize_email(text) == "ana@x.es"


def test_composed_and_decomposed_accents_are_one_address() -> None:
    assert normalize_email("jose\u0301@x.es") == normalize_email("jos\u00e9@x.es")


@pytest.mark.parametrize("text", ["admin@localhost", "a+b@x-y.co.uk", "o'neil@x.ie", "ñandú@ñandú.ar"])
def test_addresses_that_people_have(text: str) -> None:
    assert normalize_email(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ana",
        "@x.es",
        "ana@",
        "ana@x@y.es",
        "ana b@x.es",
        "ana@x..es",
        "ana@.es",
        "ana@x.es.",
        "ana@x.es\nBcc: eve@x.es",
        "ana@x.es,eve@x.es",
        "<ana@x.es>",
        "a" * 65 + "@x.es",
        "ana@" + "x" * 251,
        "ana@x.es" + " " * 300,
    ],
)
def test_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidParams) as refused:
        normalize_email(text)
    assert refused.value.field == "email"


def test_ids_are_uuids_of_version_7_in_the_order_of_time() -> None:
    ids = [new_user_id(1_700_000_000_000_000 + step * 1000) for step in range(100)]
    assert ids == sorted(set(ids))
    assert {(uuid.UUID(one).version, uuid.UUID(one).variant) for one in ids} == {(7, uuid.RFC_4122)}
    assert all(0 <= shard_of(one) < SHARDS for one in ids)
