"""Counts of what is bought together: exact however changes come, and the scores that they give."""

import contextlib
import datetime
import random
import sqlite3
from pathlib import Path

import pytest

from shared.domain.errors import InvalidParams, StoreError
from shared.recommendations.evaluation import evaluate_baskets
from shared.recommendations.pair_file import PairWriter, PurchaseChange, open_pairs, shows_damage
from shared.recommendations.scores import BasketCounts, rank_books, score_books

BOOKS = [f"b{number}" for number in range(12)]


def make_changes(chance: random.Random) -> list[PurchaseChange]:
    """Purchases of two tenants, of which some are cancelled later and some removed."""
    changes = []
    for number in range(200):
        tenant, user = chance.choice("ab"), f"u{number % 7}"
        books = chance.sample(BOOKS, chance.randint(1, 5))
        for version in range(1, chance.choice((2, 2, 3))):
            counts = version == 1 or chance.random() < 0.5
            day = f"2026-11-{1 + number % 9:02}"
            changes.append(PurchaseChange(tenant, user, f"p{number:03}", version, counts, books, day))
    return changes


def dump(path: Path) -> list[object]:
    """Everything that recommendations see."""
    found: list[object] = []
    for tenant in "ab":
        with open_pairs(path, tenant) as pairs:
            assert pairs is not None
            found.append(pairs.count_purchases())
            found += [(book, pairs.count_book(book), sorted(pairs.list_pairs(book))) for book in BOOKS]
            found += [pairs.list_bought(f"u{number}") for number in range(7)]
            found.append(pairs.list_popular(datetime.date(2026, 11, 3), datetime.date(2026, 11, 6), 100))
    return found


def count(path: Path, changes: list[PurchaseChange], size: int) -> list[object]:
    writer = PairWriter(path)
    for start in range(0, len(changes), size):
        batch = changes[start : start + size]
        writer.count_changes(batch, batch[-1].purchase)
    assert writer.read_position() == changes[-1].purchase
    writer.close()
    return dump(path)


def test_counted_one_by_one_again_and_from_the_last_versions_is_the_same(tmp_path: Path) -> None:
    changes = make_changes(random.Random(4))
    expected = count(tmp_path / "one.db", changes, 1)
    assert count(tmp_path / "many.db", changes, 50) == expected
    # A feed is read again from an earlier position.
    assert count(tmp_path / "again.db", [*changes, *changes[40:]], 17) == expected
    # Rebuilt from the records, which have the last version of each purchase.
    last = {(one.tenant, one.user, one.purchase): one for one in changes}
    rebuilt = sorted(last.values(), key=lambda one: one.purchase)
    assert count(tmp_path / "rebuilt.db", rebuilt, 1000) == expected
    assert count(tmp_path / "both.db", [*rebuilt, *changes], 9) == expected
    counted = BasketCounts(one.books for one in last.values() if one.tenant == "a" and one.counts)
    with open_pairs(tmp_path / "one.db", "a") as pairs:
        assert pairs is not None
        known = {"b1": 1.0, "b2": 0.5}
        assert score_books(known, pairs) == pytest.approx(score_books(known, counted))


def test_what_was_bought_in_some_days_is_popular(tmp_path: Path) -> None:
    def make_change(number: int, day: int, *books: str, version: int = 1, tenant: str = "a") -> PurchaseChange:
        return PurchaseChange(tenant, "u", f"p{number}", version, version == 1, books, f"2026-11-{day:02}")

    def list_popular(first: int, last: int, limit: int = 10) -> list[str]:
        with open_pairs(tmp_path / "f.db", "a") as pairs:
            assert pairs is not None
            return pairs.list_popular(datetime.date(2026, 11, first), datetime.date(2026, 11, last), limit)

    writer = PairWriter(tmp_path / "f.db")
    bought = [make_change(number, 1 + number // 3, "old" if number < 6 else "new", "both") for number in range(9)]
    bought += [make_change(100, 2, "cancelled"), make_change(101, 2, "other", tenant="b")]
    writer.count_changes([*bought, make_change(100, 2, "cancelled", version=2)], "1")
    assert list_popular(1, 3) == ["both", "old", "new"]
    assert list_popular(3, 5) == ["both", "new"]
    assert list_popular(2, 2, 1) == ["both"]
    writer.forget_sales(datetime.date(2026, 11, 3))
    assert list_popular(1, 3) == ["both", "new"]
    writer.close()


def test_a_file_of_another_version_is_counted_anew(tmp_path: Path) -> None:
    writer = PairWriter(tmp_path / "f.db")
    writer.count_changes([PurchaseChange("a", "u", "p", 1, True, ["x"], "2026-11-27")], "7")
    writer.close()
    writer = PairWriter(tmp_path / "f.db")
    assert writer.read_position() == "7"
    writer.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "f.db")) as database:
        database.execute("DROP TABLE sales")
        database.execute("PRAGMA user_version = 0")
    writer = PairWriter(tmp_path / "f.db")
    assert writer.read_position() is None
    writer.close()


def test_without_a_file_nothing_is_known_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    with open_pairs(tmp_path / "none.db", "a") as pairs:
        assert pairs is None
    assert not list(tmp_path.iterdir())
    (tmp_path / "damaged.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError):
        PairWriter(tmp_path / "damaged.db")


def test_a_full_disk_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "pairs.db"
    writer = PairWriter(path)
    writer._connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StoreError, match="full") as full:
        writer.count_changes(make_changes(random.Random(1)), "p")
    writer.close()
    for ending in ("", "-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError) as damaged:
        PairWriter(path)
    assert [shows_damage(one.value) for one in (full, damaged)] == [False, True]


def test_a_chance_pair_of_rare_books_is_behind_one_that_is_often_bought(tmp_path: Path) -> None:
    baskets = [["x", "often"]] * 8 + [["x", "chance"]] + [["often"]] * 6 + [["other"]] * 20
    ranked = rank_books(score_books({"x": 1.0}, BasketCounts(baskets)))
    assert ranked == ["often", "chance"]


def test_evaluation_finds_what_is_always_bought_together() -> None:
    # More than ten other products are more frequent than either.
    popular = [[f"p{number}"] for number in range(12) for _ in range(20)]
    baskets = [["pan", "queso"], ["té", "limón"]] * 4 + popular + [["pan", "queso"], ["té", "limón"]] * 40
    result = evaluate_baskets(baskets)
    assert result.hit_at_10 == 1.0
    assert result.popular_hit_at_10 < 1.0
    with pytest.raises(InvalidParams):
        evaluate_baskets([["pan"]] * 9)
