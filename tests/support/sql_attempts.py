"""Queries that try to read, write or learn of anything but the tables, and queries that eat memory or time."""

REFUSED = """
SELECT * FROM read_csv('/etc/passwd')
SELECT * FROM read_text('/etc/passwd')
SELECT * FROM read_blob('/etc/passwd')
SELECT * FROM '/etc/passwd'
SELECT * FROM read_csv_auto('/etc/passwd')
SELECT * FROM sniff_csv('/etc/passwd')
SELECT * FROM read_json('{root}/other/purchase_events/x.json')
SELECT * FROM read_json_auto('{root}/other/purchase_events/x.json')
SELECT * FROM read_ndjson('{root}/other/purchase_events/x.json')
SELECT * FROM read_parquet('{root}/other/purchases/year=2026/month=11/day=27/purchases.parquet')
SELECT * FROM '{root}/other/purchases/year=2026/month=11/day=27/purchases.parquet'
SELECT * FROM read_parquet('{root}/main/../other/purchases/*/*/*/*.parquet')
SELECT * FROM read_parquet('{root}/main/purchases/*/*/*/*.parquet')
SELECT * FROM parquet_metadata('{root}/main/purchases/year=2026/month=11/day=27/purchases.parquet')
SELECT * FROM parquet_schema('{root}/main/purchases/year=2026/month=11/day=27/purchases.parquet')
SELECT * FROM parquet_file_metadata('{root}/main/purchases/year=2026/month=11/day=27/purchases.parquet')
SELECT * FROM parquet_kv_metadata('{root}/main/purchases/year=2026/month=11/day=27/purchases.parquet')
SELECT * FROM glob('/*')
SELECT * FROM glob('{root}/*')
SELECT * FROM read_text('file:///etc/passwd')
SELECT * FROM read_text('/proc/self/environ')
SELECT * FROM read_text('/proc/self/cmdline')
SELECT * FROM read_text('/dev/stdin')
SELECT * FROM read_csv('http://127.0.0.1:1/x.csv')
SELECT * FROM read_csv('https://127.0.0.1:1/x.csv')
SELECT * FROM read_parquet('s3://bucket/x.parquet')
SELECT * FROM iceberg_scan('{root}')
SELECT * FROM delta_scan('{root}')
SELECT * FROM sqlite_scan('{root}/../lake.db', 'meta')
SELECT * FROM postgres_scan('', 'public', 'x')
SELECT getenv('PATH')
SELECT * FROM query('COPY purchases TO ''{root}/main/x.csv''')
SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')
SELECT * FROM query_table('/etc/passwd')
SELECT * FROM other.purchases
SELECT * FROM request
SELECT * FROM sys
SELECT * FROM connection
COPY purchases TO '{root}/main/purchases/x.csv'
COPY (SELECT 1) TO '/tmp/x.csv'
COPY purchases FROM '/etc/passwd'
EXPORT DATABASE '{root}/main'
IMPORT DATABASE '{root}/main'
ATTACH '{root}/main/x.db'
ATTACH '{root}/../records.db' (TYPE sqlite)
DETACH memory
INSTALL httpfs
LOAD httpfs
LOAD '/tmp/x.so'
FORCE INSTALL sqlite
SET enable_external_access = true
SET memory_limit = '100GB'
SET threads = 64
SET temp_directory = '/tmp'
RESET lock_configuration
PRAGMA database_list
PRAGMA threads = 64
CALL pragma_version()
CREATE TABLE x (a INTEGER)
CREATE MACRO m(a) AS a
CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')
CREATE VIEW purchases AS SELECT 1
INSERT INTO purchases SELECT * FROM purchases
UPDATE purchases SET status = 'completed'
DELETE FROM purchases
DROP VIEW purchases
VACUUM
CHECKPOINT
BEGIN
USE other
PREPARE p AS SELECT 1
EXECUTE p
EXPLAIN ANALYZE COPY purchases TO '/tmp/x.csv'
SELECT 1; SELECT 2
SELECT 1; COPY purchases TO '/tmp/x.csv'
WITH x AS (INSERT INTO purchases SELECT * FROM purchases RETURNING 1) SELECT * FROM x
SELECT
;
"""
"""Attempts that end in an error; {root} is the folder of the lake."""

SHOWN = """
SELECT * FROM duckdb_settings()
SELECT * FROM duckdb_views()
SELECT * FROM duckdb_databases()
SELECT * FROM duckdb_secrets()
SELECT * FROM duckdb_tables()
SELECT * FROM duckdb_temporary_files()
SELECT * FROM duckdb_extensions()
SELECT * FROM information_schema.tables
SELECT current_database(), current_schema(), version()
SELECT current_setting('home_directory'), current_setting('temp_directory')
SELECT * FROM pragma_database_list()
SELECT * FROM pragma_storage_info('purchases')
"""
"""Questions about the database: whatever they answer has no path of the lake."""

BOMBS = """
SELECT length(array_to_string(range(30000000), ','))
SELECT length(repeat(repeat('x', 1000000), 1000))
SELECT length(repeat('x', 4000000000))
SELECT len(range(100000000))
SELECT length(lpad('x', 2000000000, 'y'))
SELECT list_aggregate(range(50000000), 'string_agg', ',')
SELECT count(*) FROM range(100000000000)
SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range = 7
SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r
WITH RECURSIVE r(t) AS (SELECT 'x' UNION ALL SELECT t || t FROM r) SELECT max(length(t)) FROM r
SELECT list_sort(list_transform(range(30000000), lambda x: x::VARCHAR))[1]
SELECT array_agg(a.range) FROM range(50000000) a
SELECT string_agg(a.range::VARCHAR, ',') FROM range(80000000) a
SELECT count(DISTINCT a.range::VARCHAR || repeat('x', 100)) FROM range(100000000) a
SELECT regexp_matches(repeat('a', 100000), repeat('(a*)*', 10) || 'b') FROM range(1000000)
SELECT length(printf('%0999999999d', 1))
SELECT length(format('{:>2000000000}', 'x'))
SELECT map_from_entries(list_transform(range(20000000), lambda x: {'k': x, 'v': x}))
SELECT levenshtein(repeat('ab', 100000), repeat('ba', 100000))
SELECT a.range FROM range(100000000) a ORDER BY hash(a.range) DESC
SELECT unnest(range(1000000000)) ORDER BY 1 DESC
SELECT bit_count(repeat('1', 500000000)::BIT)
SELECT to_json(list_transform(range(20000000), lambda x: {'k': x}))
"""
"""Queries that need more memory or time than they may take."""


def read_queries(text: str, root: str = "") -> list[str]:
    """Returns the queries of a list, one a line."""
    return [line.replace("{root}", root) for line in text.strip().splitlines()]
