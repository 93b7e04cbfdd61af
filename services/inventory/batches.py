"""Reserving by the batch: where there is enough of everything, orders are counted and not looked at one by one.

Where the first store that has any of a product has as much of it as all orders of a batch name, order by order would
take it all from there as well. So it is enough to know the sums, and which orders there are. What this does not hold
for, and what has been tried before, is left to `services.inventory.deciding`.
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from services.inventory.grants import MAX_STORES_BYTES, block_of, name_of, new_grant, sent_names, stores_text
from shared.domain.orders import Item, iso_time
from shared.domain.records import MAX_ACTIONS, Action, Condition, Update
from shared.domain.stock import Cause
from shared.domain.tables import STOCK
from shared.wire.strict import shortened
from workers.handlers import Job

Stores = Mapping[str, Mapping[str, int]]
"""How many each store has, by product and store; products are named as `name_of` has them."""

_Lines = Counter[str | Item]
# With many products, about as many blocks in a transaction cost least.
_BLOCKS_TOGETHER = 8
_NAMED = 5
_LAST_DIGITS = [f"{number:02x}" for number in range(256)]


def unstocked(jobs: Sequence[Job], stores: Stores) -> dict[str, str]:
    """Returns which orders name products that no store has as an item, by their ids, and a text that names these."""
    products = set(chain.from_iterable([job.request.items for job in jobs]))
    missing = {product for product in products if not stores.get(name_of(product))}
    if not missing:
        return {}
    return {
        job.id: _unstocked_text([product for product in job.request.items if product in missing])
        for job in jobs
        if not missing.isdisjoint(job.request.items)
    }


def _unstocked_text(products: Sequence[str | Item]) -> str:
    names = list(sent_names(products).values())
    text = ", ".join(map(shortened, names[:_NAMED]))
    return f"not stocked: {text}" + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


class Part(NamedTuple):
    """Orders that are reserved in one transaction."""

    jobs: Sequence[Job]
    actions: list[Action]
    taken: Sequence[tuple[str, str]]
    """Stores and products that the first of the actions are about."""


class Batch(NamedTuple):
    """What is to be done with orders that have come together."""

    parts: list[Part]
    rest: list[Job]
    """Those that have to be decided one by one."""


def taking(store: str, name: str, quantity: int, first: str, orders: int, now: str) -> Update:
    """Takes a product for `orders` orders, if there is enough; `first` is the first of them."""
    change = {"cause": Cause.ORDER.value, "reference": first, "orders": orders, "changed": now}
    enough = Condition(at_least={"count": quantity})
    return Update(STOCK.name, {"store": store, "item": name}, change, add={"count": -quantity}, when=enough)


def plan_batch(jobs: Sequence[Job], stores: Stores) -> Batch:
    """Orders with stocked products, in transactions where that can be known from the counts that are given."""
    begun_before = [job for job in jobs if job.attempt > 1]
    lines: _Lines = _count(jobs) if stores else Counter()
    names = {product: name for product in lines if stores.get(name := name_of(product))}
    if not names:
        return Batch([], begun_before)
    sums = _sums(lines, names)
    enough = {name: store for name, total in sums.items() if (store := _source(stores[name], total)) is not None}
    short = {product for product, name in names.items() if name not in enough}
    rest = begun_before
    if short:
        rest = [job for job in jobs if job.attempt > 1 or not short.isdisjoint(job.request.items)]
    if rest:
        jobs = [job for job in jobs if job.attempt == 1 and short.isdisjoint(job.request.items)]
        lines = _count(jobs)
    if not lines.keys() <= names.keys():
        stocked = names.keys()
        jobs = [job for job in jobs if not stocked.isdisjoint(job.request.items)]
    return _Cutting(names, enough).cut(jobs, lines, rest)


def _source(counts: Mapping[str, int], total: int) -> str | None:
    """The store that so many come from, in whatever portions they are taken; None where that depends on these."""
    for store, count in counts.items():
        if count > 0:
            return store if count >= total else None
    return None


class _Cutting:
    """Makes transactions of orders whose products all come from the store that `enough` says."""

    def __init__(self, names: Mapping[str | Item, str], enough: Mapping[str, str]) -> None:
        self._names = names
        self._enough = enough
        self._bytes = {name: len(f"{store}\t{name}\n".encode()) for name, store in enough.items()}
        self._now = iso_time(time.time_ns() // 1000)

    def cut(self, jobs: Sequence[Job], lines: _Lines, rest: list[Job]) -> Batch:
        """All of the orders, in few transactions; those that fit into none are added to `rest`."""
        masks = _masks(jobs)
        sums = _sums(lines, self._names)
        if len(sums) + len(masks) <= MAX_ACTIONS and self._size(sums) <= MAX_STORES_BYTES:
            text = self._text(sums)
            return Batch([self._part(jobs, lines, masks, dict.fromkeys(masks, text))] if jobs else [], rest)
        size = max(_BLOCKS_TOGETHER, MAX_ACTIONS - len(sums))
        groups: dict[int, list[Job]] = {}
        group_of = {block: place // size for place, block in enumerate(masks)}
        for job in jobs:
            groups.setdefault(group_of[block_of(job.id)], []).append(job)
        filled = chain.from_iterable(self._fill(group, rest) for group in groups.values())
        parts = [
            self._part(some, _count(some), _masks(some), {block: self._text(names) for block, names in blocks.items()})
            for some, blocks in filled
        ]
        return Batch(parts, rest)

    def _fill(self, jobs: Sequence[Job], rest: list[Job]) -> Iterator[tuple[list[Job], dict[str, set[str]]]]:
        """The orders in parts that fit, with the products of each block.

        Orders with the same rare products are together, so that these are few in each part.
        """
        owned = [self._own(job) for job in jobs]
        ranks = {name: rank for rank, (name, _) in enumerate(Counter(chain.from_iterable(owned)).most_common())}
        rarest = [max(map(ranks.__getitem__, own)) for own in owned]
        some: list[int] = []
        names: set[str] = set()
        blocks: dict[str, set[str]] = {}
        size = 0
        for place in sorted(range(len(jobs)), key=rarest.__getitem__):
            own, block = owned[place], block_of(jobs[place].id)
            if not own <= names or block not in blocks:
                new = own - names
                more = self._size(new)
                if some and (
                    len(names) + len(new) + len(blocks) + (block not in blocks) > MAX_ACTIONS
                    or size + more > MAX_STORES_BYTES
                ):
                    yield [jobs[one] for one in sorted(some)], blocks
                    some, names, blocks, size = [], set(), {}, 0
                    new, more = own, self._size(own)
                if len(new) >= MAX_ACTIONS or more > MAX_STORES_BYTES:
                    rest.append(jobs[place])
                    continue
                names |= new
                size += more
            blocks.setdefault(block, set()).update(own)
            some.append(place)
        if some:
            yield [jobs[one] for one in sorted(some)], blocks

    def _own(self, job: Job) -> set[str]:
        names = self._names
        return {names[product] for product in job.request.items if product in names}

    def _size(self, names: Iterable[str]) -> int:
        """How long the text for these is at most."""
        return sum(map(self._bytes.__getitem__, names))

    def _text(self, names: Iterable[str]) -> str:
        return stores_text({name: self._enough[name] for name in names})

    def _part(self, jobs: Sequence[Job], lines: _Lines, masks: Mapping[str, int], texts: Mapping[str, str]) -> Part:
        """The orders in one transaction; each block's grant has a text of its own."""
        now, enough = self._now, self._enough
        orders, firsts = self._orders(jobs, lines)
        sums = _sums(lines, self._names)
        actions: list[Action] = [
            taking(enough[name], name, quantity, firsts[name], orders[name], now) for name, quantity in sums.items()
        ]
        actions += [new_grant(block, mask, texts[block], now) for block, mask in masks.items()]
        return Part(jobs, actions, [(enough[name], name) for name in sums])

    def _orders(self, jobs: Sequence[Job], lines: _Lines) -> tuple[Counter[str], dict[str, str]]:
        """How many orders name each product, and which does first."""
        names = self._names
        orders: Counter[str] = Counter()
        # Where each name comes in one spelling, products need not be looked up for each order.
        plain = len(set(map(name_of, lines))) == len(lines)
        sets = (set(job.request.items) if plain else set(map(name_of, job.request.items)) for job in jobs)
        for product, number in Counter(chain.from_iterable(sets)).items():
            orders[name_of(product)] += number
        firsts: dict[str, str] = {}
        missing = {product for product in lines if product in names}
        for job in jobs:
            if not missing.isdisjoint(job.request.items):
                for product in missing.intersection(job.request.items):
                    firsts.setdefault(names[product], job.id)
                missing.difference_update(job.request.items)
                if not missing:
                    break
        return orders, firsts


def _count(jobs: Sequence[Job]) -> _Lines:
    return Counter(chain.from_iterable([job.request.items for job in jobs]))


def _sums(lines: _Lines, names: Mapping[str | Item, str]) -> dict[str, int]:
    """How many are asked for of each name."""
    sums: dict[str, int] = {}
    for product, times in lines.items():
        if (name := names.get(product)) is not None:
            quantity = times if isinstance(product, str) else times * product.quantity
            sums[name] = sums.get(name, 0) + quantity
    return sums


def _masks(jobs: Sequence[Job]) -> dict[str, int]:
    """Which orders of each block there are."""
    masks: dict[str, int] = {}
    ids = [job.id for job in jobs]
    place = 0
    while place < len(ids):
        block, first = ids[place][:-2], int(ids[place][-2:], 16)
        end = bisect_left(ids, f"{block}g", place, min(place + len(_LAST_DIGITS) - first, len(ids)))
        run = _LAST_DIGITS[first : first + end - place]
        # Most come in the order of their ids and without gaps, which is seen without a look at each.
        if block.join(("", *run)) == "".join(ids[place:end]):
            masks[block] = masks.get(block, 0) | ((1 << len(run)) - 1) << first
        else:
            for order_id in ids[place:end]:
                masks[order_id[:-2]] = masks.get(order_id[:-2], 0) | 1 << int(order_id[-2:], 16)
        place = end
    return masks
