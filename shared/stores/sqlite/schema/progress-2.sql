-- The outbox: what each transaction has done to orders, written in that transaction, for those who follow.

CREATE TABLE moves (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,                -- microseconds since the epoch
    last INTEGER NOT NULL,              -- the highest sequence in it
    moves TEXT NOT NULL                 -- the JSON of an OutboxEntry, see shared/stores/outbox.py
);

-- The shortest way by which orders came to where they are: for files that are older than the outbox.
CREATE VIEW past AS
SELECT
    coalesce(max(max(coalesce(finished, 0)), max(coalesce(started, 0))), 0) AS at,
    max(sequence) AS last,
    CASE state
        WHEN 1 THEN json_object('started', json_group_array(json_array(sequence, 1)))
        WHEN 2 THEN json_object(
            'started', json_group_array(json_array(sequence, 1)), 'done', json_group_array(json_array(sequence, 1)))
        WHEN 3 THEN json_object(
            'started', json_group_array(json_array(sequence, 1)),
            'failed', json_group_array(json_array(sequence, 1, coalesce(detail, ''))))
        ELSE json_object('cancelled', json_group_array(json_array(sequence, 1)))
    END AS moves
FROM progress WHERE state > 0 GROUP BY sequence / 500, state ORDER BY sequence / 500, state;

INSERT INTO moves (at, last, moves) SELECT at, last, moves FROM past;
