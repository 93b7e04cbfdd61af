"""Suspects are worked off apart, in groups that shrink."""

from shared.domain.ids import OrderRange
from shared.domain.orders import Priority
from workers.entry_index import Waiting
from workers.quarantine import Quarantine


def waiting(first: int, count: int) -> Waiting:
    return Waiting(OrderRange(1, 2, first, count), 1, Priority.NORMAL, 0)


def test_first_death_proves_nothing() -> None:
    assert [Quarantine().is_suspect(rescues) for rescues in range(4)] == [False, False, True, True]


def test_groups_shrink_with_every_death_until_one_is_alone() -> None:
    for rescues, expected in ((2, 250), (3, 62), (4, 15), (5, 3), (6, 1), (20, 1)):
        quarantine = Quarantine()
        quarantine.put(waiting(1, 1000), rescues)
        assert sum(entry.orders.count for entry in quarantine.take(1000)) == expected


def test_everything_comes_out_once() -> None:
    quarantine = Quarantine()
    quarantine.put(waiting(1, 10), 2)
    quarantine.put(waiting(11, 7), 3)
    quarantine.put(waiting(18, 1), 9)
    assert quarantine.find(12) == waiting(11, 7)
    out: list[int] = []
    while group := quarantine.take(20):
        out += [number for entry in group for number in entry.orders.sequences]
    assert out == list(range(1, 19))
    assert quarantine.find(12) is None


def test_removed_order_is_not_worked_off_and_its_neighbours_are() -> None:
    quarantine = Quarantine()
    quarantine.put(waiting(1, 100), 2)
    quarantine.put(waiting(101, 1), 2)
    assert quarantine.remove(40)
    assert quarantine.remove(101)
    assert not quarantine.remove(40)
    assert len(quarantine) == 99
    assert quarantine.find(41) == waiting(41, 60)
    out: list[int] = []
    while group := quarantine.take(20):
        out += [number for entry in group for number in entry.orders.sequences]
    assert out == [*range(1, 40), *range(41, 101)]
    assert len(quarantine) == 0
