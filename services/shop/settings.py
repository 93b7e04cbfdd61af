"""The settings of the shop's service; `.env.local` explains each."""

from typing import Annotated

from msgspec import Meta

from services.search_settings import SearchSettings
from workers.handlers import PaymentsName


class ShopSettings(SearchSettings, frozen=True):
    """Settings by the lower-case names of their environment variables."""

    payments: PaymentsName = "simulated"
    pending_minutes: Annotated[float, Meta(gt=0)] = 30.0
