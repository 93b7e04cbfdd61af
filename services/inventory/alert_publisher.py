"""Publishes alerts to an SNS topic at least once.

An alert has the member `untold` from the transaction that creates it until its message is published. After a crash in
between, the message is published again.
"""

import asyncio
import unicodedata
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog

from clients.errors import Refused
from clients.inventory.request_errors import is_conflict
from clients.persistence import PersistenceClient, StoredItem
from services.inventory.aws import AwsClient, AwsError, open_aws_client
from services.inventory.retry_backoff import LONGEST_RETRY_SECONDS, RetryBackoff
from shared.domain.errors import ComandaError
from shared.domain.records import Condition, Update
from shared.domain.tables import ALERTS
from shared.runtime.waiting import wait_for_event

_POLL_SECONDS = 5.0
"""Interval for alerts that another service has left unpublished."""
_PAGE = 100
_AT_ONCE = 10
_SUBJECT_CHARACTERS = 99
_Crossing = tuple[Any, ...]
"""An alert of an item: its store, item, number and start."""
_MESSAGE_FIELDS = ("store", "item", "count", "threshold", "number", "since")


class AlertPublisher:
    """Publishes alerts until cancelled. `endpoint` is that of a server other than AWS."""

    def __init__(
        self,
        client: PersistenceClient,
        topic_arn: str,
        *,
        region: str | None,
        endpoint: str | None,
        longest_retry_seconds: float = LONGEST_RETRY_SECONDS,
    ) -> None:
        self._client = client
        self._topic = topic_arn
        self._region = region
        self._endpoint = endpoint
        self._woken = asyncio.Event()
        self._backoff = RetryBackoff("alerts", longest_retry_seconds)
        self._published: set[_Crossing] = set()
        """Alerts that are published and not marked as such yet."""
        self._log = structlog.get_logger()

    def wake(self) -> None:
        """Reports a new alert."""
        self._woken.set()

    async def run(self) -> None:
        """Publishes alerts as they come, oldest first."""
        while True:
            try:
                async with open_aws_client("sns", region=self._region, endpoint=self._endpoint) as topic:
                    await self._publish_pending(topic)
            except AwsError as error:
                await self._backoff.wait_after_error(error)

    async def _publish_pending(self, topic: AwsClient) -> None:
        while True:
            self._woken.clear()
            try:
                while await self._publish_page(topic):
                    pass
                self._backoff.reset()
            except ComandaError as error:
                await self._backoff.wait_after_error(error)
                continue
            await wait_for_event(self._woken, _POLL_SECONDS)

    async def _publish_page(self, topic: AwsClient) -> bool:
        """Publishes the oldest alerts. Returns whether there were any. A rejected alert does not delay the others."""
        page = await self._client.query(ALERTS.name, "untold", page_size=_PAGE)
        if not page.items:
            return False
        # The index may lag behind the table.
        found = await self._client.get_items(ALERTS.name, [_alert_key(stored) for stored in page.items])
        alerts = [alert for alert in found if _is_unpublished(alert)]
        failure: AwsError | None = None
        for start in range(0, len(alerts), _AT_ONCE):
            some = alerts[start : start + _AT_ONCE]
            results = await asyncio.gather(*(self._publish_alert(topic, alert) for alert in some))
            await self._mark_published([alert for alert, failed in zip(some, results, strict=True) if failed is None])
            failure = next(filter(None, results), failure)
            if failure is not None and failure.reason is None:
                break
        if failure is not None:
            raise failure
        return bool(alerts)

    async def _publish_alert(self, topic: AwsClient, alert: StoredItem) -> AwsError | None:
        item = alert.item
        assert item is not None
        if _crossing_key(alert) in self._published:
            return None
        try:
            await topic.call_operation("publish", TopicArn=self._topic, **build_message(item))
        except AwsError as error:
            return error
        self._published.add(_crossing_key(alert))
        self._log.info("alert_published", store=item["store"], item=item["item"], number=item.get("number"))
        return None

    async def _mark_published(self, alerts: Sequence[StoredItem]) -> None:
        """Marks alerts as published, also those that have changed meanwhile if they still are the same alert."""
        published = [_crossing_key(alert) for alert in alerts]
        while alerts:
            results = await self._client.batch([_published_update(alert) for alert in alerts], safe=True)
            changed: list[StoredItem] = []
            for alert, result in zip(alerts, results, strict=True):
                if isinstance(result, Refused):
                    if not is_conflict(result):
                        raise result
                    changed.append(alert)
            if not changed:
                break
            found = await self._client.get_items(ALERTS.name, [_alert_key(alert) for alert in changed])
            alerts = [alert for alert in found if _is_unpublished(alert) and _crossing_key(alert) in published]
        self._published.difference_update(published)


def build_message(alert: dict[str, Any]) -> dict[str, Any]:
    """Returns the SNS message of an alert."""
    fields = {name: alert.get(name) for name in _MESSAGE_FIELDS}
    return {
        "Subject": _format_subject(alert["item"]),
        "Message": msgspec.json.encode(fields).decode(),
        "MessageAttributes": {name: {"DataType": "String", "StringValue": alert[name]} for name in ("store", "item")},
    }


def _format_subject(item: str) -> str:
    """Returns a subject within the limits of SNS: ASCII, and less than 100 characters."""
    plain = [one for one in unicodedata.normalize("NFKD", item) if not unicodedata.combining(one)]
    fit = "".join(one if one.isascii() and one.isprintable() else "?" for one in plain)
    return f"Low stock: {fit}"[:_SUBJECT_CHARACTERS]


def _published_update(alert: StoredItem) -> Update:
    return Update(ALERTS.name, _alert_key(alert), remove=["untold"], when=Condition(version=alert.version))


def _alert_key(stored: StoredItem) -> dict[str, Any]:
    assert stored.item is not None
    return {"store": stored.item["store"], "item": stored.item["item"]}


def _is_unpublished(alert: StoredItem) -> bool:
    return alert.item is not None and "untold" in alert.item


def _crossing_key(alert: StoredItem) -> _Crossing:
    assert alert.item is not None
    return tuple(alert.item.get(name) for name in ("store", "item", "number", "since"))
