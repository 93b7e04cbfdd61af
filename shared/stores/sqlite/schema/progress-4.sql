-- Final orders that were moved to files. A row is the commit of its file: from then on the file has these orders, and
-- their rows here and in orders.db are only still to be deleted.

CREATE TABLE archives (
    first INTEGER PRIMARY KEY,          -- the lowest sequence in the file
    last INTEGER NOT NULL,              -- the highest one
    file TEXT NOT NULL,                 -- below the folder of archives
    orders INTEGER NOT NULL,
    done INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    spans TEXT NOT NULL,                -- JSON: first sequence and number of consecutive orders, for all in the file
    blocks TEXT NOT NULL,               -- JSON: first sequence and offset of each part that can be read by itself
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    at INTEGER NOT NULL,                -- microseconds since the epoch
    move INTEGER NOT NULL,              -- the last entry of the outbox then
    removed INTEGER NOT NULL DEFAULT 0  -- whether the rows of all its orders are deleted
);

CREATE INDEX archives_to_remove ON archives (first) WHERE removed = 0;
