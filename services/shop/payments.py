"""Payments of purchases: the port, and the adapter that only simulates them.

The setting PAYMENTS names the adapter; `open_payments` is the one place that knows all of them.
"""

import asyncio
from typing import Final, Protocol

import structlog

from shared.domain.purchases import PAID_ON_DELIVERY, Purchase
from workers.handlers import PaymentsName

DECLINED: Final = "simulated-declined"
"""The payment method that the simulation declines."""
TIMED_OUT: Final = "simulated-timeout"
"""The payment method whose payments the simulation never answers."""


class PaymentDeclined(Exception):
    """The payment was refused, and trying again does not help; the text says why."""


class Payments(Protocol):
    """A provider of payments. Both methods are idempotent by the id of the purchase.

    They raise OSError, of which TimeoutError is one, if it is unknown whether anything was done: they are tried again.
    """

    async def capture(self, purchase: Purchase) -> None:
        """Takes the total of a purchase. Raises PaymentDeclined."""

    async def refund(self, purchase: Purchase) -> None:
        """Gives back what was taken for a purchase, if anything was."""


class SimulatedPayments:
    """Takes no money: all payments succeed but those of the methods `DECLINED` and `TIMED_OUT`."""

    def __init__(self) -> None:
        self._log = structlog.get_logger()
        self._is_announced = False

    async def capture(self, purchase: Purchase) -> None:
        """Does nothing. Raises PaymentDeclined and TimeoutError on demand."""
        if not self._is_announced:
            self._is_announced = True
            self._log.warning("payments_are_simulated", hint="no money is taken")
        if purchase.payment_method == DECLINED:
            raise PaymentDeclined("the simulated bank declines this method")
        if purchase.payment_method == TIMED_OUT:
            await asyncio.sleep(0)
            raise TimeoutError("the simulated bank does not answer")

    async def refund(self, purchase: Purchase) -> None:
        """Does nothing."""


def open_payments(name: PaymentsName) -> Payments:
    """Returns the adapter that the setting PAYMENTS names."""
    adapters: dict[PaymentsName, type[Payments]] = {"simulated": SimulatedPayments}
    return adapters[name]()


async def take_payment(payments: Payments, purchase: Purchase) -> None:
    """Takes the total of a purchase that is not paid on delivery. Raises PaymentDeclined, and OSError."""
    if purchase.payment_method not in PAID_ON_DELIVERY:
        await payments.capture(purchase)
