"""The settings of the lake, and starts that are refused."""

import asyncio
import importlib.util

import pytest

from services.lake import __main__ as program
from services.lake.settings import LakeSettings
from shared.domain.errors import StartupError
from shared.runtime.state_dump import StateDump


def test_retention_is_read_by_table_and_folder_of_events() -> None:
    settings = LakeSettings(keep_lake_days="purchase_events=90, order_steps=365,")
    assert settings.list_retention() == {"purchase_events": 90.0, "order_steps": 365.0}
    assert LakeSettings().list_retention() == {}


@pytest.mark.parametrize("text", ["purchases", "purchases=", "purchases=0", "purchases=-1", "books=1", "../x=1"])
def test_a_retention_that_is_none_stops_the_start(text: str) -> None:
    with pytest.raises(StartupError, match="KEEP_LAKE_DAYS"):
        LakeSettings(keep_lake_days=text).list_retention()


async def test_a_start_without_its_packages_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(StartupError, match="pyarrow") as refused:
        await program._serve(LakeSettings(lake="on"), asyncio.Event(), StateDump())
    assert "comanda[lake]" in (refused.value.hint or "")
