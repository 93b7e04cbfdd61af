"""The settings of the lake, and starts that are refused."""

import asyncio
import importlib.util
from pathlib import Path

import pytest

from services.intake.settings import IntakeSettings
from services.lake import __main__ as program
from services.lake.progress import LakeDay, LakeProgress
from services.lake.settings import LakeSettings
from shared.domain.errors import StartupError
from shared.runtime.state_dump import StateDump
from shared.stores.sqlite.order_positions import OrderPosition, current_position


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


def test_the_intake_keeps_its_outbox_for_the_lake(tmp_path: Path) -> None:
    """The position that the lake stores is the one that the intake reads."""
    settings = IntakeSettings(lake="on", data_dir=str(tmp_path))
    _, file = settings.list_followers()
    assert IntakeSettings(data_dir=str(tmp_path)).list_followers() == [settings.distributed_file]
    assert file == LakeSettings(data_dir=str(tmp_path)).progress_file
    progress = LakeProgress(file)
    progress.save([LakeDay("main", "order_events", "2026-11-27")], orders="5:40:7:1")
    assert current_position(file) == OrderPosition(5, 40, 7, 1)
    progress.close()
    again = LakeProgress(file)
    assert (again.orders, again.list_dirty()) == ("5:40:7:1", [LakeDay("main", "order_events", "2026-11-27")])
    again.restart(orders=True)
    assert (again.orders, current_position(file)) == (None, OrderPosition(0))
    again.close()
