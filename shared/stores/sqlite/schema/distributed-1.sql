-- What the distributed service knows: everything here is brought up to date in one transaction with the
-- positions up to which the others' events have been read.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,              -- a source of events: its value is the position
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Events in their order; a row has those that happened together, and its number is that of the first.
CREATE TABLE log (
    number INTEGER PRIMARY KEY,
    events INTEGER NOT NULL,
    at INTEGER NOT NULL,                -- microseconds since the epoch
    body TEXT NOT NULL
);

CREATE TABLE counts (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE minutes (
    minute INTEGER PRIMARY KEY,         -- minutes since the epoch
    accepted INTEGER NOT NULL,
    finished INTEGER NOT NULL
);

CREATE TABLE durations (
    hour INTEGER NOT NULL,              -- hours since the epoch
    kind TEXT NOT NULL,                 -- waiting or processing
    bucket INTEGER NOT NULL,            -- as in shared/domain/quantiles.py
    orders INTEGER NOT NULL,
    PRIMARY KEY (hour, kind, bucket)
) WITHOUT ROWID;

CREATE TABLE products (
    name TEXT PRIMARY KEY,
    orders INTEGER NOT NULL,
    units INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX products_by_orders ON products (orders DESC);

CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    name TEXT,
    email TEXT,
    version INTEGER,                    -- of the record of their scores; NULL is none
    best INTEGER,
    games INTEGER,
    played TEXT,                        -- when they last did
    day INTEGER                         -- the same in days since the epoch
);

CREATE INDEX users_by_best ON users (best DESC, id) WHERE best IS NOT NULL;

-- How many users have a score in a range of 256^level: the rank of a score is the sum of a few rows.
CREATE TABLE ranks (
    level INTEGER NOT NULL,
    range INTEGER NOT NULL,
    users INTEGER NOT NULL,
    PRIMARY KEY (level, range)
) WITHOUT ROWID;

CREATE TABLE days (
    day INTEGER PRIMARY KEY,
    users INTEGER NOT NULL              -- whose last game was on it
);

CREATE TABLE notifications (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL,
    message TEXT NOT NULL,
    type TEXT NOT NULL,
    at INTEGER NOT NULL,                -- microseconds since the epoch
    read INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX notifications_by_user ON notifications (user_id, id);
CREATE INDEX notifications_unread ON notifications (user_id, id) WHERE read = 0;
