-- Tables of items. Keys are text in which the order of the bytes is the order of the values.

CREATE TABLE names (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE           -- TABLE, or TABLE/INDEX
);

CREATE TABLE items (
    collection INTEGER NOT NULL,        -- names.id of the table
    partition TEXT NOT NULL,
    sort TEXT NOT NULL,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (collection, partition, sort)
) WITHOUT ROWID;

CREATE TABLE entries (
    collection INTEGER NOT NULL,        -- names.id of the index
    partition TEXT NOT NULL,
    sort TEXT NOT NULL,
    item_partition TEXT NOT NULL,
    item_sort TEXT NOT NULL,
    PRIMARY KEY (collection, partition, sort, item_partition, item_sort)
) WITHOUT ROWID;

-- Every change of the tables that are watched, until it is a day old.
CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL,
    partition TEXT NOT NULL,
    at INTEGER NOT NULL,                -- microseconds since the epoch
    old_version INTEGER,
    old TEXT,
    new_version INTEGER,
    new TEXT
);

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
