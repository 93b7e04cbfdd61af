"""An observer of the distributed service that keeps book, and the proof that it was told of all once, in order."""

import contextlib
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any, Self

from tests.support.intake import LOOK_SECONDS, PATIENCE, DistributedProcess, Session

_TOPICS = ["orders", "scores", "records", "notifications"]
_ONCE = ("order.accepted", "order.finished")
_SHOWN = 5


class Observer:
    """Observes everything for as long as the block lasts, each time it connects behind the last event that it has."""

    def __init__(self, service: DistributedProcess) -> None:
        self._service = service
        self._thread = threading.Thread(target=self._run)
        self._changed = threading.Condition()
        self._stopping = False
        self._last = 0
        self._orders: dict[str, Counter[str]] = {name: Counter() for name in _ONCE}
        self._games: Counter[int] = Counter()
        self._records: Counter[int] = Counter()
        """How often a user was told of a record."""
        self._best: dict[int, int] = {}
        self.faults: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        # An event of its own wakes it where it waits for one.
        with contextlib.suppress(OSError, AssertionError), self._service.connect() as session:
            session.ask({"action": "add_notification", "user_id": 0, "message": "the end"})
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        while not self._stopping:
            with contextlib.suppress(OSError, AssertionError, ValueError), self._service.connect() as session:
                answer = session.ask({"action": "subscribe", "topics": _TOPICS, "since": self._last})
                if not answer["success"]:
                    self.faults.append(f"cannot go on behind event {self._last}: {answer}")
                    return
                while not self._stopping and self._take(session.read()):
                    pass

    def _take(self, event: dict[str, Any]) -> bool:
        """Writes an event down; whether the stream goes on without a gap."""
        if event["event"] == "gap":
            # Where it was too slow it connects again; what the service does not keep is a fault in so short a time.
            if "from" in event:
                self.faults.append(f"not kept: {event}")
            return False
        if event["seq"] != self._last + 1:
            self.faults.append(f"event {event['seq']} came behind {self._last}")
        if event["event"] in _ONCE:
            self._orders[event["event"]][event["id"]] += 1
        elif event["event"].startswith("score."):
            self._take_score(event)
        elif event["event"] == "notification.added":
            self._records[event["user_id"]] -= 1
        with self._changed:
            self._last = event["seq"]
            self._changed.notify_all()
        return True

    def _take_score(self, event: dict[str, Any]) -> None:
        user = event["user_id"]
        self._games[user] += 1
        if event["partidas"] != self._games[user]:
            self.faults.append(f"user {user} was told of game {event['partidas']} as number {self._games[user]}")
        if event["event"] == "score.record":
            self._records[user] += 1
            if event["anterior"] != self._best.get(user) or event["puntaje_maximo"] <= self._best.get(user, -1):
                self.faults.append(f"user {user} had {self._best.get(user)} as a record before {event}")
            self._best[user] = event["puntaje_maximo"]

    def prove(self, intake: Session, games: dict[int, int], *, seconds: float) -> None:
        """Holds what was seen, and what the service has counted, against the others, which have come to rest.

        `games` has what persistence knows of each user; the service has so many seconds to catch up.
        """
        known = intake.ask("stats")["stats"]
        expected = {"aceptados": known["aceptados"], **known["pedidos"]}
        deadline = time.monotonic() + seconds
        with self._service.connect() as session:
            while (differing := _differing(session, expected, games)) and time.monotonic() < deadline:
                time.sleep(LOOK_SECONDS)
            self.faults += differing
            newest = session.ask("health")["eventos"]
        with self._changed:
            if not self._changed.wait_for(lambda: self._last >= newest, seconds):
                self.faults.append(f"of {newest} events {self._last} came")
        for name, told in self._orders.items():
            often = [order for order, times in told.items() if times > 1]
            if often or len(told) != known["aceptados"]:
                self.faults.append(f"{name} of {len(told)} orders, twice or more of {often[:_SHOWN]}: {expected}")
        if +self._games != Counter(games):
            self.faults.append(f"games told of are {dict(self._games)}, saved were {games}")
        if any(self._records.values()):
            self.faults.append(f"records without a notification, or the other way round: {dict(self._records)}")


def _differing(session: Session, expected: dict[str, int], games: dict[int, int]) -> list[str]:
    """Where the service's counts are not what they should be."""
    found = session.ask("get_global_stats")["stats"]["pedidos"]
    counted = {"aceptados": found["aceptados"], **found["por_estado"]}
    faults = [] if counted == expected else [f"the service has counted {counted}, the intake {expected}"]
    for user, times in games.items():
        stats = session.ask({"action": "get_user_stats", "user_id": user})["stats"]
        if stats["partidas"] != times:
            faults.append(f"user {user} has {stats['partidas']} games there and {times} in persistence")
    return faults
