"""Errors about values: where they stand, and what would be right."""

from typing import Annotated, Any

import pytest
from msgspec import Meta
from msgspec.json import Decoder

from services.distributed.actions import ACTIONS as DISTRIBUTED
from services.gateway.api.scores import NotificationQuery
from services.intake.actions import ACTIONS as INTAKE
from services.persistence.actions import ACTIONS as PERSISTENCE
from shared.domain.errors import InvalidJson, InvalidParams
from shared.wire.orders import OrderDecoder
from shared.wire.strict_json import decode_strictly, parse_json

ORDERS = OrderDecoder()
ORDER = b'{"cliente":"a","productos":["b"],"direccion":"c",%s}'
STATES = "one of: en cola, en proceso, listo, fallido, cancelado"


@pytest.mark.parametrize(
    ("ask", "field", "hint"),
    [
        (lambda: INTAKE.decode(b'{"action":"list","estado":"nuevo"}', "list"), "estado", STATES),
        (lambda: INTAKE.parse_verb("list nuevo"), "estado", STATES),
        (
            lambda: DISTRIBUTED.decode(
                b'{"action":"add_notification","user_id":1,"message":"a","type":"x"}', "add_notification"
            ),
            "type",
            "one of: info, success, warning, error",
        ),
        (
            lambda: PERSISTENCE.decode(b'{"action":"transact","actions":[{"do":"x","table":"Stock"}]}', "transact"),
            "actions[0].do",
            "one of: put, delete, update, check",
        ),
        (
            lambda: decode_strictly(Decoder(NotificationQuery), b'{"order":"x"}'),
            "order",
            "one of: newest, oldest",
        ),
        (lambda: ORDERS.decode_document(ORDER % b'"prioridad":5'), "prioridad", "one of: alta, normal, baja"),
    ],
)
def test_a_hint_lists_the_choices(ask: Any, field: str, hint: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        ask()
    assert caught.value.field == field
    assert caught.value.hint is not None
    assert sorted(caught.value.hint.removeprefix("one of: ").split(", ")) == sorted(hint[8:].split(", "))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda: ORDERS.decode_document(ORDER % b'"deadline_ms":1e400'),
            "deadline_ms must be a whole number from 1 to 86400000",
        ),
        (lambda: ORDERS.decode_document(ORDER % b'"prioridad":1e400'), "prioridad must be text"),
        (
            lambda: ORDERS.decode_document(
                b'{"cliente":"a","productos":[{"producto":"b","cantidad":1e400}],"direccion":"c"}'
            ),
            "productos[0].cantidad must be a whole number from 1 to 1000000",
        ),
        (
            lambda: INTAKE.decode(b'{"action":"list","limite":1e400}', "list"),
            "limite must be a whole number from 1 to 1000",
        ),
        (
            lambda: PERSISTENCE.decode(b'{"action":"list","limit":%s}' % (b"9" * 5000), "list"),
            "limit must be a whole number from 1 to 1000",
        ),
    ],
)
def test_a_number_beyond_every_type_is_told_what_its_member_takes(ask: Any, message: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        ask()
    assert caught.value.message == message
    assert caught.value.field == message.partition(" ")[0]


@pytest.mark.parametrize("value", ["1e400", "-1e400", "0e1000000000000000000", "1" * 5000, "1.5"])
def test_any_number_of_json_can_be_looked_at(value: str) -> None:
    found = parse_json(f'{{"a":{value},"request_id":7,"b":"c"}}'.encode())
    assert (found["request_id"], found["b"]) == (7, "c")


LARGE = b"9" * 5000


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (b'{"action":"set","id":"a","data":{"v":%s}}', "data.v"),
        (b'{"action":"set","id":"a","data":{"v":1,"a":{"productos":[{},[1,%s]]}}}', "data.a.productos[1][1]"),
        (b'{"action":"put_item","table":"Tasks","item":{"id":"x","z":-%s}}', "item.z"),
        (
            b'{"action":"batch","actions":[{"do":"put","table":"Tasks","item":{"z":%s}}]}',
            "actions[0].item.z",
        ),
    ],
)
def test_a_number_of_thousands_of_digits_is_told_by_its_place(document: bytes, field: str) -> None:
    name = parse_json(document % b"1")["action"]
    with pytest.raises(InvalidParams) as caught:
        PERSISTENCE.decode(document % LARGE, name)
    assert (caught.value.message, caught.value.field) == (f"{field} is out of range", field)


def test_a_name_that_is_wrong_is_told_by_the_place_of_its_object() -> None:
    kind = Decoder(dict[str, dict[Annotated[str, Meta(min_length=1)], int]])
    with pytest.raises(InvalidParams) as caught:
        decode_strictly(kind, b'{"":{"":1}}')
    assert caught.value.message.startswith("a name in ")
    assert caught.value.message.endswith(" must be text with length >= 1")


@pytest.mark.parametrize("number", [LARGE, b"1e400"])
def test_numbers_in_any_document_are_told_by_their_place(number: bytes) -> None:
    with pytest.raises(InvalidParams) as caught:
        decode_strictly(Decoder(dict[str, Any]), b'{"b":0.5,"a":[{"c":%s}]}' % number)
    assert caught.value.field == "a[0].c"


@pytest.mark.parametrize(
    ("document", "line", "column"),
    [
        (b'{"a":"\\ud800"}', 1, 7),
        (b'{"a":"\\ud800 and more"}', 1, 7),
        (b'{"a":"\\ud83d\\ude00\\udc00"}', 1, 19),
        (b'{"a":"\\\\ud800",\n"\\udbff":1}', 2, 2),
        ('{"ñ":"\\ud800\\u0041"}'.encode(), 1, 7),
    ],
)
def test_half_of_a_surrogate_pair_is_told_by_its_place(document: bytes, line: int, column: int) -> None:
    with pytest.raises(InvalidJson) as caught:
        parse_json(document)
    assert "surrogate pair" in caught.value.message
    assert (caught.value.line, caught.value.column) == (line, column)
