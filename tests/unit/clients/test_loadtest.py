"""The load test's own parts."""

from pathlib import Path

import msgspec
import pytest

from clients.errors import ClientError
from clients.loadtest.measure import Measure
from clients.loadtest.workload import made_up_workload, read_workload


def test_workload_repeats_its_orders_each_under_a_key_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "orders"
    file.write_text('{"cliente": "é"}\n\n{"cliente": "b", "productos": []}\n')
    workload = read_workload(file, 5, keyed=True)
    sent = [msgspec.json.decode(workload.line(number)) for number in range(workload.size)]
    assert [order["cliente"] for order in sent] == ["é", "b", "é", "b", "é"]
    assert [workload.number(order["request_id"]) for order in sent] == [0, 1, 2, 3, 4]
    assert all(workload.same(number, order) for number, order in enumerate(sent))
    assert not workload.same(0, sent[1])
    assert workload.number("somebody-else") is None


def test_workload_without_keys_sends_the_orders_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "orders"
    file.write_text('{"cliente":"a"}\n')
    assert read_workload(file, None, keyed=False).line(0) == b'{"cliente":"a"}\n'


@pytest.mark.parametrize("content", ["", '{"a": 1}\nnope\n', "7\n"])
def test_wrong_input_is_told(tmp_path: Path, content: str) -> None:
    file = tmp_path / "orders"
    file.write_text(content)
    with pytest.raises(ClientError):
        read_workload(file, None, keyed=False)


def test_made_up_orders_are_orders() -> None:
    workload = made_up_workload(3, keyed=False)
    assert {*msgspec.json.decode(workload.line(2))} == {"cliente", "productos", "direccion"}


def test_orders_refused_for_lack_of_room_are_not_settled() -> None:
    measure = Measure(3)
    measure.accepted = 1
    measure.refused.update(["queue_full", "queue_full", "conflict"])
    assert measure.settled == 2
