"""The settings of the shop's service; `.env.local` explains each."""

from services.search_settings import SearchSettings


class ShopSettings(SearchSettings, frozen=True):
    """Settings by the lower-case names of their environment variables."""
