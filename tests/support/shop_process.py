"""The shop's service in a process that a test kills; it starts within milliseconds from a fork server."""

import asyncio
from pathlib import Path

import structlog

from clients.access import Access
from services.shop.settings import ShopSettings
from services.shop.shop import ShopService


def run_shop(data_dir: Path, persistence_port: int) -> None:
    """Serves until it is killed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    settings = ShopSettings(data_dir=str(data_dir), tcp_persist_port=persistence_port)
    asyncio.run(ShopService(settings, Access(None), settings.open_book_index()).serve(asyncio.Event()))
