"""The cache of items: what stays, and what leaves."""

from shared.domain.records import Record
from shared.stores.sqlite.item_cache import CachedItem, ItemCache


def stored(text: str) -> CachedItem:
    return CachedItem(Record({"id": text}, 1), text)


def test_the_items_that_were_not_used_for_longest_leave() -> None:
    cache = ItemCache(3000)
    for name in "abcd":
        cache.keep(("T", name, ""), stored("x" * 100))
        assert cache.get(("T", "a", "")) is not None
    cache.keep(("T", "e", ""), stored("x" * 600))
    assert [name for name in "abcde" if cache.get(("T", name, "")) is not None] == ["a", "c", "d", "e"]
    cache.forget(("T", "a", ""))
    cache.keep(("T", "f", ""), stored("x" * 20_000))
    assert [name for name in "aef" if cache.get(("T", name, "")) is not None] == ["e"]
    cache.clear()
    assert cache.get(("T", "e", "")) is None


def test_a_cache_without_room_keeps_nothing() -> None:
    cache = ItemCache(0)
    cache.keep(("T", "a", ""), stored("x"))
    assert cache.get(("T", "a", "")) is None
