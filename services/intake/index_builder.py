"""The process that builds the index of orders; it ends when nothing has been left to index for a while."""

import os
import signal
import sys
from pathlib import Path

import setproctitle

from shared.domain.errors import StoreError
from shared.runtime.parent import PARENT_PID, die_with_parent
from shared.stores.sqlite.files import StoreFiles
from shared.stores.sqlite.order_indexer import build_index

# It takes what everybody else leaves of the processors, and of that at most half.
_NICENESS = 19
_SHARE = 0.5
# Short: one that lingers would work beside the next burst.
_IDLE_SECONDS = 1.0


def main(orders: str) -> str | None:
    """Builds the index beside the file `orders`. Returns why it failed."""
    if parent := os.environ.get(PARENT_PID):
        die_with_parent(signal.SIGKILL, int(parent))
    os.nice(_NICENESS)
    setproctitle.setproctitle("comanda-indexer")
    try:
        build_index(StoreFiles(Path(orders)), share=_SHARE, idle_seconds=_IDLE_SECONDS)
    except StoreError as error:
        return error.message
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
