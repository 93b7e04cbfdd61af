"""Customers of a shop who go on until each of their checkouts is answered, and what they know at the end."""

import http.client
import itertools
import random
import threading
import time
from typing import Any

from tests.support.http import Http, Reply
from tests.support.intake import LOOK_SECONDS, PATIENCE, GatewayProcess

API = "/api/v1"
BUSY_STATUS = 429
SERVER_STATUS = 500
_METHODS = ("card", "card", "card", "cash_on_delivery", "simulated-declined")
_PASSWORD = "siete gatos verdes"


class Customer(threading.Thread):
    """Buys some copies of a random book until there are `checkouts` purchases, and cancels some of them.

    A request without an answer is sent again with the same key. `answered` has the ids of purchases by key.
    """

    def __init__(self, gateway: GatewayProcess, number: int, books: list[str], *, checkouts: int, seed: int) -> None:
        super().__init__(daemon=True, name=f"customer {number}")
        self._http = Http(gateway)
        self._books = books
        self._dice = random.Random(f"{seed} {number}")
        self._checkouts = checkouts
        self.answered: dict[str, set[str]] = {}
        self.faults: list[str] = []
        email = f"customer{number}@example.com"
        person = {"email": email, "password": _PASSWORD, "first_name": "Ana", "last_name": "Paz"}
        reply = self._http.ask("POST", f"{API}/users/register", person)
        assert reply.status == 200, reply.body
        self._token = {"Authorization": f"Bearer {reply.json['token']}"}

    def run(self) -> None:
        """Buys, and notes whatever goes wrong."""
        try:
            for number in itertools.count():
                if len(self.answered) == self._checkouts:
                    return
                self._buy(f"{self.name} {number}".replace(" ", "-"))
        except Exception as error:
            self.faults.append(f"{self.name}: {type(error).__name__}: {error}")

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Sends a request until a server answers it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                reply = self._http.ask(method, f"{API}{path}", body, headers={**self._token, **headers})
                if reply.status < SERVER_STATUS and reply.status != BUSY_STATUS:
                    return reply
                why = str(reply.body[:200])
            except (OSError, http.client.HTTPException) as error:
                why = repr(error)
            assert time.monotonic() < deadline, f"{method} {path} is not answered: {why}"
            time.sleep(LOOK_SECONDS)

    def purchases(self) -> list[dict[str, Any]]:
        """All purchases of the customer."""
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            shown = self.ask("GET", f"/purchases?limit=100&page={page}").json
            found += shown["data"]
            if not shown["pagination"]["has_next"]:
                return found
            page += 1

    def _buy(self, key: str) -> None:
        book, quantity = self._dice.choice(self._books), self._dice.randint(1, 3)
        # Setting a quantity twice is the same as once; adding copies twice is not.
        changed = self.ask("PUT", f"/cart/update/{book}", {"quantity": quantity})
        if changed.status == 409:
            # This book is sold out.
            return
        assert changed.status == 200, changed.body
        body = {"payment_method": self._dice.choice(_METHODS), "shipping_address": {"street": "Mayor 1"}}
        reply = self.ask("POST", "/purchases/checkout", body, **{"Idempotency-Key": key})
        if reply.status == 409 and reply.json["code"] == "lines_unavailable":
            self.ask("DELETE", "/cart/clear")
            return
        assert reply.status in (200, 201), reply.body
        purchase: str = reply.json["purchase_id"]
        self.answered.setdefault(key, set()).add(purchase)
        if self._dice.random() < 0.2:
            again = self.ask("POST", "/purchases/checkout", body, **{"Idempotency-Key": key})
            assert again.status == 200, again.body
            self.answered[key].add(again.json["purchase_id"])
        if self._dice.random() < 0.1:
            assert self.ask("POST", f"/purchases/{purchase}/cancel").status in (200, 409)
