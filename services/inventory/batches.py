"""Reserves orders in batches: where stock is sufficient, quantities are summed instead of deciding order by order.

If the first store that has any of a product has enough of it for all orders of the batch, deciding order by order would
take everything from that store as well. It is then enough to know the sums and the ids of the orders. For example, 200
orders of one `pan` each and a first store with 5,000 are one withdrawal of 200. All other orders, and later attempts,
are left to `services.inventory.decisions`.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from services.inventory.grants import MAX_STORES_BYTES, block_of, name_of, new_grant, sent_names, stores_text
from shared.domain.orders import Item
from shared.domain.records import MAX_ACTIONS, Action, Condition, Update
from shared.domain.stock import Cause
from shared.domain.tables import STOCK
from shared.runtime.clock import iso_now
from shared.wire.strict_json import shorten_text
from workers.handlers import Job

Stores = Mapping[str, Mapping[str, int]]
"""Counts by product, in the form of `name_of`, and by store."""

_Lines = Counter[str | Item]
# With many products, transactions with about as many blocks are the cheapest.
_BLOCKS_TOGETHER = 8
_NAMED = 5
_LAST_DIGITS = [f"{number:02x}" for number in range(256)]


def find_unstocked(jobs: Sequence[Job], stores: Stores) -> dict[str, str]:
    """Returns the orders that name products without an item in any store: a text with these products by order id."""
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
    text = ", ".join(map(shorten_text, names[:_NAMED]))
    return f"not stocked: {text}" + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


class PlannedTransaction(NamedTuple):
    """Orders that are reserved in one transaction."""

    jobs: Sequence[Job]
    actions: list[Action]
    taken: Sequence[tuple[str, str]]
    """The stores and products of the first actions, in their order."""


class BatchPlan(NamedTuple):
    """The transactions for a batch of orders."""

    transactions: list[PlannedTransaction]
    rest: list[Job]
    """Orders that have to be decided one by one."""


def build_withdrawal(store: str, name: str, quantity: int, first: str, orders: int, now: str) -> Update:
    """Returns an action that takes a product for `orders` orders, if there is enough.

    `first` is the id of the first one.
    """
    change = {"cause": Cause.ORDER.value, "reference": first, "orders": orders, "changed": now}
    enough = Condition(at_least={"count": quantity})
    return Update(STOCK.name, {"store": store, "item": name}, change, add={"count": -quantity}, when=enough)


def plan_batch(jobs: Sequence[Job], stores: Stores) -> BatchPlan:
    """Plans the transactions of a batch, as far as they follow from the given counts.

    Orders without stock need none.
    """
    begun_before = [job for job in jobs if job.attempt > 1]
    lines: _Lines = _count_lines(jobs) if stores else Counter()
    names = {product: name for product in lines if stores.get(name := name_of(product))}
    if not names:
        return BatchPlan([], begun_before)
    sums = _sum_quantities(lines, names)
    enough = {name: store for name, total in sums.items() if (store := _choose_store(stores[name], total)) is not None}
    short = {product for product, name in names.items() if name not in enough}
    rest = begun_before
    if short:
        rest = [job for job in jobs if job.attempt > 1 or not short.isdisjoint(job.request.items)]
    if rest:
        jobs = [job for job in jobs if job.attempt == 1 and short.isdisjoint(job.request.items)]
        lines = _count_lines(jobs)
    if not lines.keys() <= names.keys():
        stocked = names.keys()
        jobs = [job for job in jobs if not stocked.isdisjoint(job.request.items)]
    return _TransactionBuilder(names, enough).build_plan(jobs, lines, rest)


def _choose_store(counts: Mapping[str, int], total: int) -> str | None:
    """Returns the store that supplies `total` in any order of taking; None if that depends on the single quantities."""
    for store, count in counts.items():
        if count > 0:
            return store if count >= total else None
    return None


class _TransactionBuilder:
    """Builds transactions of orders whose products all come from the stores in `enough`."""

    def __init__(self, names: Mapping[str | Item, str], enough: Mapping[str, str]) -> None:
        self._names = names
        self._enough = enough
        self._bytes = {name: len(f"{store}\t{name}\n".encode()) for name, store in enough.items()}
        self._now = iso_now()

    def build_plan(self, jobs: Sequence[Job], lines: _Lines, rest: list[Job]) -> BatchPlan:
        """Distributes the orders to as few transactions as possible; orders that fit into none are added to `rest`."""
        masks = _build_masks(jobs)
        sums = _sum_quantities(lines, self._names)
        if len(sums) + len(masks) <= MAX_ACTIONS and self._text_bytes(sums) <= MAX_STORES_BYTES:
            text = self._format_stores(sums)
            return BatchPlan(
                [self._build_transaction(jobs, lines, masks, dict.fromkeys(masks, text))] if jobs else [], rest
            )
        size = max(_BLOCKS_TOGETHER, MAX_ACTIONS - len(sums))
        groups: dict[int, list[Job]] = {}
        group_of = {block: place // size for place, block in enumerate(masks)}
        for job in jobs:
            groups.setdefault(group_of[block_of(job.id)], []).append(job)
        filled = chain.from_iterable(self._group_jobs(group, rest) for group in groups.values())
        transactions = [
            self._build_transaction(
                some,
                _count_lines(some),
                _build_masks(some),
                {block: self._format_stores(names) for block, names in blocks.items()},
            )
            for some, blocks in filled
        ]
        return BatchPlan(transactions, rest)

    def _group_jobs(self, jobs: Sequence[Job], rest: list[Job]) -> Iterator[tuple[list[Job], dict[str, set[str]]]]:
        """Yields groups of orders that fit into one transaction, with the products of each block.

        Orders with the same rare products are grouped together, which keeps the number of products of each group small.
        """
        owned = [self._stocked_names(job) for job in jobs]
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
                more = self._text_bytes(new)
                if some and (
                    len(names) + len(new) + len(blocks) + (block not in blocks) > MAX_ACTIONS
                    or size + more > MAX_STORES_BYTES
                ):
                    yield [jobs[one] for one in sorted(some)], blocks
                    some, names, blocks, size = [], set(), {}, 0
                    new, more = own, self._text_bytes(own)
                if len(new) >= MAX_ACTIONS or more > MAX_STORES_BYTES:
                    rest.append(jobs[place])
                    continue
                names |= new
                size += more
            blocks.setdefault(block, set()).update(own)
            some.append(place)
        if some:
            yield [jobs[one] for one in sorted(some)], blocks

    def _stocked_names(self, job: Job) -> set[str]:
        names = self._names
        return {names[product] for product in job.request.items if product in names}

    def _text_bytes(self, names: Iterable[str]) -> int:
        """Returns the maximum length of the text for these products."""
        return sum(map(self._bytes.__getitem__, names))

    def _format_stores(self, names: Iterable[str]) -> str:
        return stores_text({name: self._enough[name] for name in names})

    def _build_transaction(
        self, jobs: Sequence[Job], lines: _Lines, masks: Mapping[str, int], texts: Mapping[str, str]
    ) -> PlannedTransaction:
        """Returns the transaction of these orders; `texts` are the stores of each block's grant."""
        now, enough = self._now, self._enough
        orders, firsts = self._count_orders(jobs, lines)
        sums = _sum_quantities(lines, self._names)
        actions: list[Action] = [
            build_withdrawal(enough[name], name, quantity, firsts[name], orders[name], now)
            for name, quantity in sums.items()
        ]
        actions += [new_grant(block, mask, texts[block], now) for block, mask in masks.items()]
        return PlannedTransaction(jobs, actions, [(enough[name], name) for name in sums])

    def _count_orders(self, jobs: Sequence[Job], lines: _Lines) -> tuple[Counter[str], dict[str, str]]:
        """Returns the number of orders that name each product, and the first of them."""
        names = self._names
        orders: Counter[str] = Counter()
        # If each name has only one spelling, its products need not be folded for each order.
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


def _count_lines(jobs: Sequence[Job]) -> _Lines:
    return Counter(chain.from_iterable([job.request.items for job in jobs]))


def _sum_quantities(lines: _Lines, names: Mapping[str | Item, str]) -> dict[str, int]:
    """Returns the requested quantity of each name."""
    sums: dict[str, int] = {}
    for product, times in lines.items():
        if (name := names.get(product)) is not None:
            quantity = times if isinstance(product, str) else times * product.quantity
            sums[name] = sums.get(name, 0) + quantity
    return sums


def _build_masks(jobs: Sequence[Job]) -> dict[str, int]:
    """Returns the bit mask of the orders in each block."""
    masks: dict[str, int] = {}
    ids = [job.id for job in jobs]
    place = 0
    while place < len(ids):
        block, first = ids[place][:-2], int(ids[place][-2:], 16)
        end = bisect_left(ids, f"{block}g", place, min(place + len(_LAST_DIGITS) - first, len(ids)))
        run = _LAST_DIGITS[first : first + end - place]
        # Most ids are consecutive, which one comparison shows for the whole block.
        if block.join(("", *run)) == "".join(ids[place:end]):
            masks[block] = masks.get(block, 0) | ((1 << len(run)) - 1) << first
        else:
            for order_id in ids[place:end]:
                masks[order_id[:-2]] = masks.get(order_id[:-2], 0) | 1 << int(order_id[-2:], 16)
        place = end
    return masks
