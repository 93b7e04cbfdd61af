-- Since when a user is there: as the table of users says, and as the record of their scores does.

ALTER TABLE users ADD COLUMN registered TEXT;
ALTER TABLE users ADD COLUMN began TEXT;
