-- Failed attempts at orders, written in the transaction that records the failure. An order that goes well has no row.

CREATE TABLE attempts (
    sequence INTEGER NOT NULL,          -- as in orders
    attempt INTEGER NOT NULL,
    finished INTEGER NOT NULL,          -- microseconds since the epoch
    detail TEXT NOT NULL,
    place TEXT,                         -- file:line function
    traceback TEXT,
    PRIMARY KEY (sequence, attempt)
) WITHOUT ROWID;
