"""Old movements become one for each item, and still make its count."""

from clients.inventory import stock
from clients.persistence import PersistenceClient
from services.inventory.movement_retention import MovementRetention
from services.inventory.stock_checker import StockChecker
from services.inventory.stock_follower import StockFollower
from shared.domain.stock import StockThresholds
from tests.support.eventually import eventually, running
from tests.support.intake import PersistenceProcess

LEVELS = StockThresholds(5, 2)


async def movements(client: PersistenceClient, item: str) -> list[tuple[str, int, int]]:
    found, _ = await stock.list_movements(client, "A", item, limit=1000, cursor=None)
    return [(one.cause, one.change, one.count) for one in found]


async def test_old_movements_become_one_that_carries_their_sum(
    client: PersistenceClient, persistence: PersistenceProcess
) -> None:
    mine = PersistenceClient("127.0.0.1", persistence.port)
    follower = StockFollower(
        mine, LEVELS, on_import=lambda _: None, on_alert=lambda _: None, on_loss=lambda: None, publish_alerts=False
    )
    for count in range(1, 131):
        await stock.set_count(client, "A", "x", count * 3, version=None)
    await stock.set_count(client, "A", "y", 7, version=None)
    async with running(follower.run()):
        await eventually(lambda: movements(client, "y"))
        assert len(await movements(client, "x")) == 130
        assert await MovementRetention(client, keep_days=1).fold_movements() == 0
        assert await MovementRetention(client, keep_days=1e-9).fold_movements() == 129
        assert await movements(client, "x") == [("carried", 390, 390)]
        assert await movements(client, "y") == [("edit", 7, 7)]
        assert await StockChecker(client, LEVELS).check_stock() == []
        await stock.set_count(client, "A", "x", 391, version=None)

        async def both() -> bool:
            return len(await movements(client, "x")) == 2

        await eventually(both)
        assert await StockChecker(client, LEVELS).check_stock() == []
        assert await MovementRetention(client, keep_days=1e-9).fold_movements() == 1
        assert await movements(client, "x") == [("carried", 391, 391)]
    mine.close()
