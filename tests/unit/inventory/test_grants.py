"""What orders hold, as a record says it."""

import pytest

from clients.persistence import StoredItem
from services.inventory.grants import (
    MAX_STORES_BYTES,
    HeldStock,
    ReservationBlock,
    block_of,
    build_release,
    new_grant,
    read_grants,
    read_stores,
    stores_text,
    sum_quantities,
)
from shared.domain.errors import Conflict
from shared.domain.orders import Item
from shared.domain.records import MAX_ITEM_BYTES, item_bytes
from tests.unit.inventory.orders import NOW, PREFIX, Records, job

BLOCK = f"{PREFIX}0000000001"


def order(number: int) -> str:
    return f"{BLOCK}{number:02x}"


def test_neighbours_share_a_record() -> None:
    blocks = [block_of(job(number, "pan").id) for number in range(1000, 2000)]
    assert sorted(map(blocks.count, set(blocks))) == [24, 208, 256, 256, 256]
    assert block_of(order(255)) == BLOCK


def test_stores_are_read_as_they_were_written() -> None:
    stores = {"echo dot": "Berlin", 'a "b" c': "Ávila ☂", "pan": "Berlin"}
    assert stores_text(stores) == 'Berlin\techo dot\tpan\nÁvila ☂\ta "b" c'
    assert read_stores(stores_text(stores)) == stores
    # As they were written when each spelling was a name of its own.
    assert read_stores("Berlin\tEcho Dot") == {"echo dot": "Berlin"}


def test_what_an_order_asks_for_is_summed_up() -> None:
    assert sum_quantities(["pan", Item("pan", 4), "agua"]) == {"pan": 5, "agua": 1}


@pytest.mark.parametrize("numbers", [[0], [255], [3, 64, 65, 254]])
def test_grant_is_to_the_orders_of_its_mask_and_comes_once(numbers: list[int]) -> None:
    records = Records({})
    grant = new_grant(BLOCK, sum(1 << number for number in numbers), "Berlin\tpan", NOW)
    records.transact([grant])
    assert {one: found.held for one, found in records.held().items()} == {
        order(number): HeldStock(1, "Berlin\tpan") for number in numbers
    }
    with pytest.raises(Conflict):
        records.transact([grant])


def test_two_grants_of_a_block_do_not_disturb_each_other() -> None:
    records = Records({})
    records.transact([new_grant(BLOCK, 0b0110, "Berlin\tpan", NOW)])
    records.transact([new_grant(BLOCK, 0b1001, "Paris\tpan", NOW)])
    assert {one[-2:]: found.held.stores[0] for one, found in records.held().items()} == {
        "00": "P",
        "01": "B",
        "02": "B",
        "03": "P",
    }


def test_what_is_given_back_is_given_back_once_and_disturbs_no_neighbour() -> None:
    records = Records({})
    records.transact([new_grant(BLOCK, 0b111, "Berlin\tpan", NOW)])
    found = records.held()
    first, second = (build_release(order(number), found[order(number)], NOW) for number in (0, 1))
    for update in (first, second):
        records.transact([update])
        with pytest.raises(Conflict):
            records.transact([update])
    assert records.held().keys() == {order(2)}


def test_block_that_is_written_says_the_same_in_fewer_words_and_lets_no_late_grant_in() -> None:
    records = Records({})
    records.transact([new_grant(BLOCK, 0b111, "Berlin\tpan", NOW)])
    records.transact([build_release(order(0), records.held()[order(0)], NOW)])
    block = ReservationBlock(BLOCK, records.block(BLOCK))
    block.held[order(2)] = HeldStock(2, "Berlin\tpan")
    late = build_release(order(1), records.held()[order(1)], NOW)
    records.transact([block.build_update(NOW)])
    item = records.block(BLOCK).item
    assert item is not None
    assert {name for name in item if name not in ("id", "at")} == {"fence", "01.1", "02.2"}
    for update in (late, new_grant(BLOCK, 0b1000, "Berlin\tpan", NOW), block.build_update(NOW)):
        with pytest.raises(Conflict):
            records.transact([update])
    held = {one: found.held for one, found in records.held().items()}
    assert held == {order(1): HeldStock(1, "Berlin\tpan"), order(2): HeldStock(2, "Berlin\tpan")}


def test_record_has_room_for_short_grants_whatever_long_ones_there_are() -> None:
    block = ReservationBlock(BLOCK, StoredItem(None, 0))
    for number in range(256):
        long = f"Berlin\t{number:03}{'x' * (MAX_STORES_BYTES - 10)}"
        short = f"Berlin\t{number:03}{'x' * 590}"
        assert block.has_room(short)
        block.held[order(number)] = HeldStock(1, long if block.has_room(long) else short)
    item = {**block.build_update(NOW).set, "id": BLOCK}
    assert 300_000 < item_bytes(item) < MAX_ITEM_BYTES - 20_000
    assert {one: found.held for one, found in read_grants(item).items()} == block.held
