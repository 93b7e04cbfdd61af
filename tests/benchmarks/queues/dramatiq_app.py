"""Dramatiq on Redis: it acknowledges when a job is done, and tries again what failed."""

import os
from collections.abc import Iterable

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from tests.benchmarks.queues import results
from tests.benchmarks.queues.parallel import in_threads

broker = RedisBroker(url=os.environ["BROKER_URL"])
dramatiq.set_broker(broker)

record = dramatiq.actor(results.record)


def send(numbers: Iterable[int]) -> None:
    """Sends a job for each number."""
    in_threads(record.send, numbers)


def held() -> int:
    """How many jobs the broker has: waiting, or taken and not acknowledged."""
    taken = sum(broker.client.scard(key) for key in broker.client.scan_iter(f"{broker.namespace}:__acks__.*"))
    return int(broker.client.llen(f"{broker.namespace}:default") + taken)
