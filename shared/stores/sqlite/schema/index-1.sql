-- Where orders are to be found by customer and by time of receipt. Made from orders.db, and may be deleted at any time.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- The times of receipt in a block of sequences, which is numbered by its first; a block without orders has no row.
CREATE TABLE blocks (
    first INTEGER PRIMARY KEY,
    oldest INTEGER NOT NULL,            -- microseconds since the epoch
    newest INTEGER NOT NULL
);

-- Each segment is sorted by itself, so entries are appended; customers are 48 bits of a hash of their normal form.
CREATE TABLE entries (
    segment INTEGER NOT NULL,           -- its first sequence
    customer INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (segment, customer, sequence)
) WITHOUT ROWID;
