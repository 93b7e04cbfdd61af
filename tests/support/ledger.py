"""A client that keeps book: what it sent, what was acknowledged, and whether the store agrees."""

import json
import threading
from typing import Any

from tests.support.intake import IntakeProcess, Session


class Ledger:
    """Sends numbered orders from a thread of its own until told to stop.

    A connection that breaks is opened again. What was in flight then has an unknown outcome: it may be
    stored once, or not at all.
    """

    def __init__(self, intake: IntakeProcess, *, window: int = 64) -> None:
        self._intake = intake
        self._window = window
        self._stop = threading.Event()
        self._progress = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._sent = 0
        self.acknowledged: dict[str, str] = {}
        """The customer of each acknowledged order, by id. Customers are numbered, so each is unique."""
        self.unknown: set[str] = set()
        """Customers of orders whose outcome is unknown."""
        self.refused: set[str] = set()
        """Customers of orders that were answered with an error."""

    def __enter__(self) -> "Ledger":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for(self, orders: int) -> None:
        """Waits until so many more orders have been acknowledged."""
        with self._progress:
            goal = len(self.acknowledged) + orders
            assert self._progress.wait_for(lambda: len(self.acknowledged) >= goal, 60)

    def wait_for_refusals(self, orders: int) -> None:
        """Waits until so many more orders have been refused."""
        with self._progress:
            goal = len(self.refused) + orders
            assert self._progress.wait_for(lambda: len(self.refused) >= goal, 60)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._intake.connect() as session:
                    self._send_windows(session)
            except (OSError, AssertionError, ValueError):
                self._stop.wait(0.02)

    def _send_windows(self, session: Session) -> None:
        while not self._stop.is_set():
            customers = [f"customer-{self._sent + number}" for number in range(self._window)]
            self._sent += self._window
            self.unknown |= set(customers)
            orders = [{"cliente": name, "productos": ["x"], "direccion": "d"} for name in customers]
            session.send("".join(json.dumps(order) + "\n" for order in orders))
            for name in customers:
                answer = session.read()
                self.unknown.discard(name)
                if not answer["success"]:
                    self.refused.add(name)
                    continue
                assert answer["id"] not in self.acknowledged, "one id for two orders"
                self.acknowledged[answer["id"]] = name
            with self._progress:
                self._progress.notify_all()

    def check(self) -> dict[str, Any]:
        """Waits until nothing is open, then proves the promise; gives the last `stats`.

        Every acknowledged order is stored once, unchanged and final; what is stored besides was of
        unknown outcome, and is stored once; the counts add up.
        """
        with self._intake.connect() as session:
            stats: dict[str, Any] = session.wait_until("stats", "stats.abiertos", 0)["stats"]
            stored: dict[str, dict[str, Any]] = {}
            cursor = None
            while True:
                page = session.ask({"action": "list", "limite": 1000, "cursor": cursor})
                for order in page["pedidos"]:
                    assert order["id"] not in stored
                    stored[order["id"]] = order
                cursor = page["cursor"]
                if cursor is None:
                    break
        missing = set(self.acknowledged) - set(stored)
        assert not missing, f"{len(missing)} acknowledged orders are lost"
        for order_id, customer in self.acknowledged.items():
            assert stored[order_id]["cliente"] == customer
        surplus = [order["cliente"] for order_id, order in stored.items() if order_id not in self.acknowledged]
        assert set(surplus) <= self.unknown, "what was refused is stored"
        assert len(surplus) == len(set(surplus)), "an order is stored twice"
        assert {order["estado"] for order in stored.values()} == {"listo"}
        assert sum(stats["pedidos"].values()) == len(stored) == stats["aceptados"]
        return stats
