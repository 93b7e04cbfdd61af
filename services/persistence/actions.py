"""All actions of the persistence server."""

from services.persistence.corporate import CORPORATE
from services.persistence.items import ITEMS
from services.persistence.server import PersistenceServer, RecordsRequest
from shared.server.actions import ActionRegistry
from shared.server.common import Help, declare_common

ACTIONS: ActionRegistry[PersistenceServer] = ActionRegistry()
ACTIONS.include(CORPORATE)
ACTIONS.include(ITEMS)
declare_common(
    ACTIONS,
    RecordsRequest,
    Help(
        43,
        beginning=['{"action":"set","id":"X","data":{"cp":"3260"}}', "get X"],
        closing=[
            "get_item, get_items, put_item, update_item, delete_item, transact, batch, query and changes are "
            "for services.",
            'Each verb is an action, too: {"action":"get","id":"X"}',
        ],
    ),
)
