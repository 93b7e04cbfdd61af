-- What has happened to orders since they were accepted. An order without a row here is waiting for its
-- first attempt. The workers write here under the file's lock, and so never wait for the intake's commits.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE progress (
    sequence INTEGER PRIMARY KEY,       -- as in orders
    state INTEGER NOT NULL,             -- position in the adapter's STATES
    attempt INTEGER NOT NULL,           -- attempts begun; the fencing token of the one at work
    failures INTEGER NOT NULL DEFAULT 0,
    rescues INTEGER NOT NULL DEFAULT 0, -- workers that died over it
    worker TEXT,
    stored INTEGER,                     -- these are microseconds since the epoch
    queued INTEGER,
    started INTEGER,
    finished INTEGER,
    due INTEGER,
    detail TEXT                         -- the last error
);

-- Nearly every order ends `listo`: only the rare final states are worth an index.
CREATE INDEX progress_by_rare_state ON progress (state, sequence) WHERE state >= 3;

CREATE TABLE totals (
    state INTEGER PRIMARY KEY,
    orders INTEGER NOT NULL
);

INSERT INTO totals (state, orders) VALUES (2, 0), (3, 0), (4, 0);
