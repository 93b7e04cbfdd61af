"""The process that runs one SQL query: it gets the query on standard input, answers on standard output, and ends.

DuckDB cannot keep a query within its memory limit nor interrupt it within one vector, and its settings let a query
write into every directory that it may read. So the operating system limits the process, the tables are handed in as
Arrow datasets, and no path is open to the query (docs/decisions). The parent kills the process at its deadline.
"""

import contextlib
import datetime
import decimal
import json
import math
import os
import resource
import sys
from typing import Any, Final

from shared.lake.arrow_schemas import make_full_schema
from shared.lake.layout import table_folder
from shared.lake.tables import PARTITIONS, LakeTable, list_tables

_NICE: Final = 10
_MIB: Final = 2**20
_MAX_CELL: Final = 64 * 1024
_MAX_ERROR: Final = 500
_OPEN_FILES: Final = 256
_BATCH_ROWS: Final = 500

_FIXED: Final = (
    "SET threads = 1",
    "SET memory_limit = '{memory}MiB'",
    "SET temp_directory = ''",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET python_enable_replacements = false",
    "SET TimeZone = 'UTC'",
    "SET enable_progress_bar = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)
"""Statements before a query; the last one makes them final."""


class QueryRefusal(Exception):
    """A query that is not run, with the reason."""


def main() -> None:
    """Prepares the process, waits for a request, and answers it."""
    # Before the request, so that a process in reserve has spent this time.
    import duckdb  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.dataset  # noqa: PLC0415

    # Each thread takes address space, which is limited.
    pa.set_cpu_count(1)
    pa.set_io_thread_count(2)
    # The answer has the standard output for itself: libraries print there, too.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    os.chdir("/")
    # The servers have priority.
    os.nice(_NICE)
    # From now on the time of the query counts.
    out.write(b"\n")
    out.flush()
    line = sys.stdin.buffer.readline()
    if not line:
        return
    request = json.loads(line)
    _limit_process(request)
    try:
        answer = run_query(duckdb, open_connection(duckdb, request), request)
    except MemoryError:
        answer = {"error": "the query needs more memory than it may take", "kind": "memory"}
    except QueryRefusal as refusal:
        answer = {"error": str(refusal), "kind": "refused"}
    # Whatever the library raises about a query is its answer.
    except Exception as error:
        answer = _describe_error(error)
    out.write(json.dumps(answer, separators=(",", ":")).encode("utf-8", "replace") + b"\n")
    out.flush()
    # Destructors may take longer than the process has.
    os._exit(0)


def _limit_process(request: dict[str, Any]) -> None:
    seconds = math.ceil(request["seconds"]) + 1
    # If memory is short all the same, the kernel ends the query and not a server.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    limits = (
        (resource.RLIMIT_AS, request["memory_mib"] * _MIB),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    )
    for kind, most in limits:
        # The limit of a parent may be lower.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))


def open_connection(duckdb: Any, request: dict[str, Any]) -> Any:
    """Returns a connection with the tables of a tenant, from which nothing else can be reached."""
    connection = duckdb.connect(":memory:")
    for table in list_tables(request["tenant"]):
        connection.register(table.name, _open_table(request, table))
    for statement in _FIXED:
        connection.execute(statement.format(memory=request["memory_mib"] // 2))
    return connection


def run_query(duckdb: Any, connection: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Returns the result of one SELECT. Raises QueryRefusal for anything else, and what DuckDB raises."""
    _check_statement(duckdb, request["sql"])
    cursor = connection.execute(request["sql"])
    columns = [{"name": str(one[0]), "type": str(one[1])} for one in cursor.description or ()]
    rows: list[list[Any]] = []
    size = 0
    truncated = False
    while batch := cursor.fetchmany(_BATCH_ROWS):
        for row in batch:
            shown = [_show(value) for value in row]
            size += len(json.dumps(shown))
            if len(rows) >= request["max_rows"] or size > request["max_bytes"]:
                truncated = True
                break
            rows.append(shown)
        if truncated:
            break
    return {"columns": columns, "rows": rows, "truncated": truncated}


def _check_statement(duckdb: Any, sql: str) -> None:
    """Raises QueryRefusal unless the text is one SELECT."""
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QueryRefusal("one SELECT statement is expected")


def _open_table(request: dict[str, Any], table: LakeTable) -> Any:
    """Returns a dataset over the files of a table; an empty table if there are none."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.dataset as ds  # noqa: PLC0415
    from pyarrow import fs  # noqa: PLC0415

    schema = make_full_schema(table)
    bucket = request["bucket"]
    files: Any = fs.LocalFileSystem() if bucket is None else fs.S3FileSystem(**bucket)
    path = f"{request['root']}/{table_folder(request['tenant'], table.name)}".rstrip("/")
    found = files.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    names = sorted(one.path for one in found if one.path.endswith(".parquet"))
    if not names:
        return schema.empty_table()
    own = (
        ds.partitioning(pa.schema([schema.field(name) for name in PARTITIONS]), flavor="hive") if table.daily else None
    )
    return ds.dataset(
        names, schema=schema, format="parquet", filesystem=files, partitioning=own, partition_base_dir=path
    )


def _describe_error(error: Exception) -> dict[str, Any]:
    text = str(error).strip()
    if "Out of Memory" in text or "bad_alloc" in text or "malloc" in text:
        return {"error": "the query needs more memory than it may take", "kind": "memory"}
    return {"error": text[:_MAX_ERROR], "kind": "sql"}


def _show(value: Any) -> Any:
    """Returns a value for JSON: decimal numbers stay exact, as text; large texts are cut."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, decimal.Decimal):
        return {"decimal": format(value, "f")}
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_show(one) for one in value[:_BATCH_ROWS]]
    if isinstance(value, dict):
        return {str(name): _show(one) for name, one in value.items()}
    return str(value)[:_MAX_CELL]
