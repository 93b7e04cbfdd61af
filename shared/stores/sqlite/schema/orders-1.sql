-- Orders as they were accepted. Only the intake writes here, and rows never change: together with a
-- sequence that is the row id, an accepted order costs one append.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE orders (
    sequence INTEGER PRIMARY KEY,
    received INTEGER NOT NULL,          -- microseconds since the epoch
    document TEXT NOT NULL,             -- the canonical JSON
    request_id TEXT,
    priority TEXT,                      -- NULL is normal
    due INTEGER                         -- microseconds since the epoch; NULL is at once
);

CREATE UNIQUE INDEX orders_by_request_id ON orders (request_id) WHERE request_id IS NOT NULL;
