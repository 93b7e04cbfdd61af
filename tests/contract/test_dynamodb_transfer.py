"""Orders that a move brings to DynamoDB, and reads again there."""

from shared.domain.tables import suite_tables
from shared.stores.dynamodb.order_tables import BLOCK
from shared.stores.dynamodb.stores import dynamo_transfer
from shared.stores.orders import NOTHING
from shared.stores.ports.transfer import TransferredOrder
from tests.support.dynamodb import own_tables

NODE = 7
DOCUMENT = '{"cliente":"Ana","productos":["pan"],"direccion":"Mayor 1"}'


async def test_orders_of_every_block_are_read_again_through_the_end_that_took_them(dynamodb: str) -> None:
    tables = suite_tables("CorporateData", "CorporateLog")
    taken = [
        TransferredOrder(sequence, 1_000_000, DOCUMENT, NOTHING) for sequence in (1, BLOCK - 1, BLOCK, 3 * BLOCK + 5)
    ]
    async with dynamo_transfer(own_tables(dynamodb), tables) as (orders, _, _):
        # A move looks first whether anything is there.
        assert await orders.read_node() is None
        await orders.write_orders(taken)
        await orders.finish_transfer(NODE, taken[-1].sequence)
        assert await orders.read_orders(0, 1000) == taken
