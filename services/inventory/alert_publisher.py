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
from services.aws import AwsClient, AwsError, open_aws_client
from services.inventory.retry_backoff import LONGEST_RETRY_SECONDS, RetryBackoff
from services.inventory.tenants import TenantQueue, view_of
from shared.domain.errors import ComandaError
from shared.domain.records import Condition, Update
from shared.domain.tables import ALERTS
from shared.domain.tenants import MAIN

_POLL_SECONDS = 5.0
"""Interval for alerts that another service has left unpublished."""
_PAGE = 100
_AT_ONCE = 10
_SUBJECT_CHARACTERS = 99
_Crossing = tuple[Any, ...]
"""An alert of an item: its tenant, store, item, number and start."""
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
        self._queue = TenantQueue(client, poll_seconds=_POLL_SECONDS)
        self._backoff = RetryBackoff("alerts", longest_retry_seconds)
        self._published: set[_Crossing] = set()
        """Alerts that are published and not marked as such yet."""
        self._log = structlog.get_logger()

    def wake(self, tenant: str = MAIN) -> None:
        """Reports a new alert of a tenant."""
        self._queue.wake(tenant)

    async def run(self) -> None:
        """Publishes alerts as they come, those of each tenant oldest first."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._queue.feed())
            parts.create_task(self._publish_alerts())

    async def _publish_alerts(self) -> None:
        while True:
            try:
                async with open_aws_client("sns", region=self._region, endpoint=self._endpoint) as topic:
                    await self._publish_pending(topic)
            except AwsError as error:
                await self._backoff.wait_after_error(error)

    async def _publish_pending(self, topic: AwsClient) -> None:
        while True:
            tenant = await self._queue.take_tenant()
            again = True
            try:
                again = await self._publish_page(topic, tenant)
                self._backoff.reset()
            except ComandaError as error:
                await self._backoff.wait_after_error(error)
            finally:
                self._queue.finish_tenant(tenant, again=again)

    async def _publish_page(self, topic: AwsClient, tenant: str) -> bool:
        """Publishes a tenant's oldest alerts. Returns whether there were any.

        A rejected alert does not delay the others.
        """
        records = view_of(self._client, tenant)
        page = await records.query(ALERTS.name, "untold", page_size=_PAGE)
        if not page.items:
            return False
        # The index may lag behind the table.
        found = await records.get_items(ALERTS.name, [_alert_key(stored) for stored in page.items])
        alerts = [alert for alert in found if _is_unpublished(alert)]
        failure: AwsError | None = None
        for start in range(0, len(alerts), _AT_ONCE):
            some = alerts[start : start + _AT_ONCE]
            results = await asyncio.gather(*(self._publish_alert(topic, tenant, alert) for alert in some))
            published = [alert for alert, failed in zip(some, results, strict=True) if failed is None]
            await self._mark_published(records, tenant, published)
            failure = next(filter(None, results), failure)
            if failure is not None and failure.aws_code is None:
                break
        if failure is not None:
            raise failure
        return bool(alerts)

    async def _publish_alert(self, topic: AwsClient, tenant: str, alert: StoredItem) -> AwsError | None:
        item = alert.item
        assert item is not None
        if _crossing_key(tenant, alert) in self._published:
            return None
        try:
            await topic.call_operation("publish", TopicArn=self._topic, **build_message(tenant, item))
        except AwsError as error:
            return error
        self._published.add(_crossing_key(tenant, alert))
        self._log.info(
            "alert_published", tenant=tenant, store=item["store"], item=item["item"], number=item.get("number")
        )
        return None

    async def _mark_published(self, records: PersistenceClient, tenant: str, alerts: Sequence[StoredItem]) -> None:
        """Marks alerts as published, also those that have changed meanwhile if they still are the same alert."""
        published = [_crossing_key(tenant, alert) for alert in alerts]
        while alerts:
            results = await records.batch([_published_update(alert) for alert in alerts], safe=True)
            changed: list[StoredItem] = []
            for alert, result in zip(alerts, results, strict=True):
                if isinstance(result, Refused):
                    if not is_conflict(result):
                        raise result
                    changed.append(alert)
            if not changed:
                break
            found = await records.get_items(ALERTS.name, [_alert_key(alert) for alert in changed])
            alerts = [alert for alert in found if _is_unpublished(alert) and _crossing_key(tenant, alert) in published]
        self._published.difference_update(published)


def build_message(tenant: str, alert: dict[str, Any]) -> dict[str, Any]:
    """Returns the SNS message of an alert."""
    fields = {"tenant": tenant, **{name: alert.get(name) for name in _MESSAGE_FIELDS}}
    attributes = {"tenant": tenant, "store": alert["store"], "item": alert["item"]}
    return {
        "Subject": _format_subject(alert["item"]),
        "Message": msgspec.json.encode(fields).decode(),
        "MessageAttributes": {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
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


def _crossing_key(tenant: str, alert: StoredItem) -> _Crossing:
    assert alert.item is not None
    return tenant, *(alert.item.get(name) for name in ("store", "item", "number", "since"))
