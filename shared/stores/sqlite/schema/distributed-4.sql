-- Products are counted under the normal form of their name; `shown` is the spelling that came first. Rows from before
-- have none: the service folds them when it opens the file.

ALTER TABLE products ADD COLUMN shown TEXT;
