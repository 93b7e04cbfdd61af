"""The orders that a load test sends."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from clients.errors import ClientError
from clients.replies import StoredOrder
from clients.tools.loadtest.workload import Workload, generate_workload, read_workload

ORDER = b'{"cliente":"a","productos":["x"],"direccion":"d"}'
NEW = {"id": "1", "estado": "en cola", "prioridad": "normal", "intentos": 0, "recibido": "2026-01-01T00:00:00Z"}


def test_workload_repeats_its_orders_each_under_a_key_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "orders"
    file.write_text('\ufeff{"cliente": "é"}\r\n\n{"cliente": "b", "request_id": "theirs", "productos": []}\n')
    workload = read_workload(file, keyed=True)
    sent = [msgspec.json.decode(workload.format_line(number)) for number in range(5)]
    assert [order["cliente"] for order in sent] == ["é", "b", "é", "b", "é"]
    assert [workload.find_number(order["request_id"]) for order in sent] == [0, 1, 2, 3, 4]


def test_workload_without_keys_sends_the_orders_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "orders"
    file.write_text('{"cliente":"a","precio":0.10}\n')
    assert read_workload(file, keyed=False).format_line(0) == b'{"cliente":"a","precio":0.10}\n'


def test_empty_object_can_be_sent_under_a_key() -> None:
    assert list(msgspec.json.decode(Workload([b"{}"], keyed=True).format_line(0))) == ["request_id"]


def test_only_own_keys_are_recognised() -> None:
    workload = Workload([ORDER], keyed=True)
    key = msgspec.json.decode(workload.format_line(1))["request_id"]
    assert workload.find_number(key) == 1
    assert [workload.find_number(other) for other in (None, 7, "theirs", key[:-1], key + "x")] == [None] * 5


@pytest.mark.parametrize(
    ("sent", "shown", "same"),
    [
        (ORDER, {}, True),
        (ORDER, {"cliente": "b"}, False),
        (ORDER, {"productos": ["x", "x"]}, False),
        (ORDER, {"prioridad": "alta"}, False),
        (ORDER, {"no_antes_de": "2030-01-01T00:00:00Z"}, False),
        (ORDER.replace(b'"x"', b'{"producto":"x","precio":0.80}'), {"productos": [{"producto": "x"}]}, False),
        (
            ORDER.replace(b'"x"', b'{"producto":"x","cantidad":1,"precio":0.80}'),
            {"productos": [{"producto": "x", "precio": Decimal("0.8")}]},
            True,
        ),
        (b"{}", {}, False),
    ],
)
def test_what_is_stored_is_compared_by_its_meaning(sent: bytes, shown: dict[str, object], same: bool) -> None:
    stored = msgspec.convert({**msgspec.json.decode(ORDER), **NEW, **shown}, StoredOrder)
    assert Workload([sent], keyed=True).matches_order(2, stored) is same


@pytest.mark.parametrize("content", ["", '{"a": 1}\nnope\n', "7\n"])
def test_wrong_input_is_told(tmp_path: Path, content: str) -> None:
    file = tmp_path / "orders"
    file.write_text(content)
    with pytest.raises(ClientError):
        read_workload(file, keyed=False)


def test_made_up_orders_are_orders() -> None:
    workload = generate_workload(keyed=False)
    assert {*msgspec.json.decode(workload.format_line(2))} == {"cliente", "productos", "direccion"}
