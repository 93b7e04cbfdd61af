"""Sending from a few threads at once, for client libraries that wait for each answer."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor


def in_threads(send: Callable[[int], object], numbers: Iterable[int]) -> None:
    """Sends a job for each number. One thread alone would spend most of its time waiting for Redis to sync."""
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(send, numbers):
            pass
