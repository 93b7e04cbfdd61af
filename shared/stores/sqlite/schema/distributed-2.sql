-- Numbers of signed pickles that were read, until these have run out: none is read twice, whatever was restarted.

CREATE TABLE nonces (
    nonce BLOB PRIMARY KEY,
    expires REAL NOT NULL               -- seconds since the epoch
) WITHOUT ROWID;

CREATE INDEX nonces_by_expiry ON nonces (expires);

-- What was made before this file knew of nonces may have been read.
INSERT INTO meta VALUES ('nonces_since', CAST((julianday('now') - 2440587.5) * 86400.0 AS TEXT));
