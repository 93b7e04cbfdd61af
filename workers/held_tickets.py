"""The tickets that one worker holds: orders given to it without a result yet."""

from bisect import bisect_right, insort

from msgspec.structs import replace

from shared.domain.ids import OrderRange
from shared.stores.ports.orders import Ticket


class Holding:
    """Tickets by the sequence of their first order; completed ranges are cut out."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._tickets: dict[int, Ticket] = {}
        self.orders = 0
        """Number of orders held."""

    def add(self, ticket: Ticket) -> None:
        """Adds a ticket that the worker got."""
        insort(self._firsts, ticket.orders.first)
        self._tickets[ticket.orders.first] = ticket
        self.orders += ticket.orders.count

    def remove(self, order_range: OrderRange) -> int:
        """Removes a completed range; returns how many of its orders were held."""
        removed = 0
        first, stop = order_range.first, order_range.stop
        while first < stop:
            place = bisect_right(self._firsts, first) - 1
            start = self._firsts[place] if place >= 0 else first
            ticket = self._tickets.get(start)
            end = start + ticket.orders.count if ticket is not None else first
            if ticket is None or end <= first:
                # Not held: go on where the next ticket begins.
                first = self._firsts[place + 1] if place + 1 < len(self._firsts) else stop
                continue
            cut = min(end, stop)
            del self._firsts[place], self._tickets[start]
            self.orders -= ticket.orders.count
            for left, right in ((start, first), (cut, end)):
                if left < right:
                    part = OrderRange(ticket.orders.received, ticket.orders.node, left, right - left)
                    self.add(replace(ticket, orders=part))
            removed += cut - first
            first = cut
        return removed

    def find(self, sequence: int) -> Ticket | None:
        """Returns the ticket of an order."""
        place = bisect_right(self._firsts, sequence) - 1
        ticket = self._tickets[self._firsts[place]] if place >= 0 else None
        return ticket if ticket is not None and sequence < ticket.orders.stop else None

    def tickets(self) -> list[Ticket]:
        """Returns all held tickets."""
        return list(self._tickets.values())
