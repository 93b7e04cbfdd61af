"""Publishes alerts to a topic of SNS: each at least once, and in practice once.

An alert has `untold` from the transaction that makes it until its message was published. Who is killed in between
publishes it again.
"""

import asyncio
import contextlib
import unicodedata
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog

from clients.errors import Refused
from clients.inventory.records import is_conflict
from clients.persistence import PersistenceClient, StoredItem
from services.inventory.aws import Aws, AwsError, aws
from services.inventory.backoff import Backoff
from shared.domain.errors import ComandaError
from shared.domain.records import Condition, Update
from shared.domain.tables import ALERTS

_POLL_SECONDS = 5.0
"""For alerts of which another service was told, and has not published them."""
_PAGE = 100
_AT_ONCE = 10
_SUBJECT_CHARACTERS = 99
_Crossing = tuple[Any, ...]
"""Which alert of which item."""
_TOLD = ("store", "item", "count", "threshold", "number", "since")


class Publisher:
    """Publishes alerts until cancelled. `endpoint` is that of a server which is not AWS."""

    def __init__(self, client: PersistenceClient, topic_arn: str, *, region: str | None, endpoint: str | None) -> None:
        self._client = client
        self._topic = topic_arn
        self._region = region
        self._endpoint = endpoint
        self._woken = asyncio.Event()
        self._backoff = Backoff("alerts")
        self._published: set[_Crossing] = set()
        """What is published and not marked as that yet."""
        self._log = structlog.get_logger()

    def wake(self) -> None:
        """There is an alert."""
        self._woken.set()

    async def run(self) -> None:
        """Publishes alerts, the oldest first, as they come."""
        while True:
            try:
                async with aws("sns", region=self._region, endpoint=self._endpoint) as topic:
                    await self._follow(topic)
            except AwsError as error:
                await self._backoff.failed(error)

    async def _follow(self, topic: Aws) -> None:
        while True:
            self._woken.clear()
            try:
                while await self._publish_page(topic):
                    pass
                self._backoff.succeeded()
            except ComandaError as error:
                await self._backoff.failed(error)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._woken.wait()

    async def _publish_page(self, topic: Aws) -> bool:
        """Publishes the oldest alerts: whether there were any. One that is refused keeps none of the others back."""
        page = await self._client.query(ALERTS.name, "untold", page_size=_PAGE)
        if not page.items:
            return False
        # The index may be behind the table.
        found = await self._client.get_items(ALERTS.name, [_key(stored) for stored in page.items])
        alerts = [alert for alert in found if _is_untold(alert)]
        failure: AwsError | None = None
        for start in range(0, len(alerts), _AT_ONCE):
            some = alerts[start : start + _AT_ONCE]
            results = await asyncio.gather(*(self._publish(topic, alert) for alert in some))
            await self._set_told([alert for alert, failed in zip(some, results, strict=True) if failed is None])
            failure = next(filter(None, results), failure)
            if failure is not None and failure.reason is None:
                break
        if failure is not None:
            raise failure
        return bool(alerts)

    async def _publish(self, topic: Aws, alert: StoredItem) -> AwsError | None:
        item = alert.item
        assert item is not None
        if _crossing(alert) in self._published:
            return None
        try:
            await topic.call("publish", TopicArn=self._topic, **message_of(item))
        except AwsError as error:
            return error
        self._published.add(_crossing(alert))
        self._log.info("an alert was published", store=item["store"], item=item["item"], number=item.get("number"))
        return None

    async def _set_told(self, alerts: Sequence[StoredItem]) -> None:
        """Marks alerts as published; one that was changed meanwhile, too, while it is still the same crossing."""
        published = [_crossing(alert) for alert in alerts]
        while alerts:
            results = await self._client.batch([_told(alert) for alert in alerts], safe=True)
            changed: list[StoredItem] = []
            for alert, result in zip(alerts, results, strict=True):
                if isinstance(result, Refused):
                    if not is_conflict(result):
                        raise result
                    changed.append(alert)
            if not changed:
                break
            found = await self._client.get_items(ALERTS.name, [_key(alert) for alert in changed])
            alerts = [alert for alert in found if _is_untold(alert) and _crossing(alert) in published]
        self._published.difference_update(published)


def message_of(alert: dict[str, Any]) -> dict[str, Any]:
    """The message that tells of an alert, as SNS takes it."""
    told = {name: alert.get(name) for name in _TOLD}
    return {
        "Subject": _subject(alert["item"]),
        "Message": msgspec.json.encode(told).decode(),
        "MessageAttributes": {name: {"DataType": "String", "StringValue": alert[name]} for name in ("store", "item")},
    }


def _subject(item: str) -> str:
    """A subject that SNS takes: less than 100 characters, and ASCII."""
    plain = [one for one in unicodedata.normalize("NFKD", item) if not unicodedata.combining(one)]
    fit = "".join(one if one.isascii() and one.isprintable() else "?" for one in plain)
    return f"Low stock: {fit}"[:_SUBJECT_CHARACTERS]


def _told(alert: StoredItem) -> Update:
    return Update(ALERTS.name, _key(alert), remove=["untold"], when=Condition(version=alert.version))


def _key(stored: StoredItem) -> dict[str, Any]:
    assert stored.item is not None
    return {"store": stored.item["store"], "item": stored.item["item"]}


def _is_untold(alert: StoredItem) -> bool:
    return alert.item is not None and "untold" in alert.item


def _crossing(alert: StoredItem) -> _Crossing:
    assert alert.item is not None
    return tuple(alert.item.get(name) for name in ("store", "item", "number", "since"))
