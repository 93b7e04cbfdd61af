"""Celery on Redis, with what its documentation asks for where no task may be lost: late acknowledgement."""

import os
from collections.abc import Iterable

from celery import Celery

from tests.benchmarks.queues import results
from tests.benchmarks.queues.parallel import in_threads

app = Celery("peers", broker=os.environ["BROKER_URL"])
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, task_ignore_result=True)

record = app.task(results.record)


def send(numbers: Iterable[int]) -> None:
    """Sends a job for each number."""
    in_threads(record.delay, numbers)


def held() -> int:
    """How many jobs the broker has: waiting, or taken and not acknowledged."""
    with app.connection_for_read() as connection:
        redis = connection.default_channel.client
        return int(redis.llen("celery") + redis.hlen("unacked"))
