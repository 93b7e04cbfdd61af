"""The handler of orders that fulfil purchases: it takes the payment and completes the purchase.

    ORDER_HANDLER=services.shop.fulfilling:Fulfilling

The stock was taken by the checkout, so it reserves nothing. Other orders are processed as by the default handler.
"""

from typing import Final

from clients.access import Access, client_tls
from clients.persistence import PersistenceClient
from clients.shop.purchases import complete_purchase, get_purchase
from services.shop.payments import PaymentDeclined, open_payments, take_payment
from shared.domain.errors import InvalidParams, NotFound
from shared.domain.purchases import parse_request_id
from workers.handlers import Job, Kit, Reject, Wait

DECLINED_TEXT: Final = "payment declined"
"""The beginning of the error of an order whose payment was declined."""


class Fulfilling:
    """Fulfils purchases. Raises OSError for unreadable certificates."""

    def __init__(self, kit: Kit) -> None:
        access = Access(kit.service_token, None if kit.trusted is None else client_tls(kit.trusted))
        self._client = PersistenceClient(kit.persistence_host, kit.persistence_port, access)
        self._wait = Wait(kit)
        self.payments = open_payments(kit.payments)

    async def __call__(self, job: Job) -> None:
        """Fulfils the purchase of an order. A purchase that was cancelled meanwhile is refunded, and not completed."""
        ordered = parse_request_id(job.order.request_id)
        await self._wait(job)
        if ordered is None:
            return
        try:
            records = self._client.of(ordered.tenant)
            purchase = await get_purchase(records, ordered.user, ordered.purchase)
        except (InvalidParams, NotFound):
            raise Reject("there is no such purchase") from None
        if purchase.status == "completed":
            return
        if purchase.status == "pending":
            try:
                await take_payment(self.payments, purchase)
            except PaymentDeclined as error:
                raise Reject(f"{DECLINED_TEXT}: {error}") from None
            if await complete_purchase(records, purchase):
                return
        # It was cancelled: perhaps between an earlier capture and its completion.
        await self.payments.refund(purchase)
        raise Reject("the purchase is cancelled")

    async def close(self) -> None:
        """Closes the connection to the persistence server."""
        self._client.close()
