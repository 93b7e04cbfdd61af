"""Makes the Parquet files of a day from the file before and the events behind it.

Rows carry a version, and the highest version of each key stays: rows that come twice, late or in another order do no
harm. A file depends on its rows alone, so a file that is made again has the same bytes.
"""

import contextlib
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.parquet as pq

from shared.domain.errors import StoreError
from shared.domain.states import ACCEPT, FINAL, START
from shared.lake.arrow_schemas import make_schema
from shared.lake.tables import (
    FORGOTTEN,
    ORDER_ATTEMPTS,
    ORDERS,
    PURCHASE_LINES,
    SCHEMA_VERSION,
    Column,
    LakeTable,
)

REMOVED: Final = "REMOVE"
"""The value of the column `event` of a removal."""

_EVENT: Final = Column("event", "text")
_PLACE: Final = "__place"
_ROW_GROUP: Final = 1_000_000
_ZSTD_LEVEL: Final = 3
_TIME_ENCODING: Final = "DELTA_BINARY_PACKED"
_ID_ENCODING: Final = "DELTA_BYTE_ARRAY"
_BLOCK_BYTES: Final = 16 * 2**20
_MILLISECOND: Final = 1000


@contextlib.contextmanager
def translate_errors(what: str) -> Iterator[None]:
    """Raises StoreError for what Arrow raises in the block."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{what}: {error}") from error


def read_state(data: bytes, table: LakeTable) -> pa.Table:
    """Returns the rows of a Parquet file in today's columns. Raises StoreError for a file that cannot be read."""
    with translate_errors(f"a file of {table.name} cannot be read"):
        found = pq.read_table(io.BytesIO(data), partitioning=None)
        return _conform(found, make_schema(table.columns))


def read_events(data: bytes, table: LakeTable) -> pa.Table:
    """Returns the rows of a file of JSON lines, with their `event`. Raises StoreError for one that cannot be read."""
    schema = make_schema(_event_columns(table))
    if not data.strip():
        return schema.empty_table()
    options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    # A line must fit into a block.
    blocks = pj.ReadOptions(use_threads=False, block_size=max(_BLOCK_BYTES, len(data) if len(data) < 2**30 else 0))
    with translate_errors(f"a file of {table.events} cannot be read"):
        return _conform(pj.read_json(io.BytesIO(data), blocks, options), schema)


def merge_rows(table: LakeTable, parts: Sequence[pa.Table]) -> pa.Table:
    """Returns the newest version of each row, sorted by key, without those that were removed.

    Of two rows with the same key and version the one of the later part stays.
    """
    schema = make_schema(_event_columns(table))
    rows = pa.concat_tables([_conform(part, schema) for part in parts]).combine_chunks()
    if not rows.num_rows:
        return make_schema(table.columns).empty_table()
    rows = rows.append_column(_PLACE, pa.array(range(rows.num_rows), pa.int64()))
    by = [(name, "ascending") for name in table.key]
    if "version" in rows.column_names and "version" not in table.key:
        by.append(("version", "ascending"))
    rows = rows.take(pc.sort_indices(rows, sort_keys=[*by, (_PLACE, "ascending")]))
    rows = rows.filter(_last_of_group(rows, table.key))
    if "event" not in {column.name for column in table.columns}:
        rows = rows.filter(pc.fill_null(pc.not_equal(rows["event"], REMOVED), True))
    return _conform(rows, make_schema(table.columns)).combine_chunks()


def write_state(rows: pa.Table, table: LakeTable) -> bytes:
    """Returns the Parquet file of rows of a table.

    Times and keys are stored as differences from the row before, as rows are sorted by key: that takes two thirds of
    the size of dictionaries.
    """
    target = io.BytesIO()
    schema = rows.schema.with_metadata({"comanda.schema": str(SCHEMA_VERSION)})
    encodings = {column.name: _TIME_ENCODING for column in table.columns if column.kind == "time"}
    ids = {*table.key, "order_id"}
    encodings |= {one.name: _ID_ENCODING for one in table.columns if one.name in ids and one.kind == "text"}
    dictionaries = [path for one in table.columns if one.name not in encodings for path in _list_paths(one)]
    pq.write_table(
        rows.cast(schema),
        target,
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        row_group_size=_ROW_GROUP,
        version="2.6",
        coerce_timestamps="us",
        use_dictionary=dictionaries,
        column_encoding=encodings,
    )
    return target.getvalue()


def derive_lines(purchases: pa.Table) -> pa.Table:
    """Returns the rows of `purchase_lines` of merged purchases."""
    items = _flat(purchases["items"])
    lines, parents = items.flatten(), pc.list_parent_indices(items)
    firsts = pc.subtract(items.offsets, items.offsets[0])
    numbers = pc.subtract(pa.array(range(1, len(lines) + 1), pa.int64()), pc.cast(firsts.take(parents), pa.int64()))
    own = purchases.select(["purchase_id", "user_id", "status", "currency", "created_at"]).take(parents)
    rows = own.append_column("line", numbers)
    for field in lines.type:
        rows = rows.append_column(field.name, pc.struct_field(lines, field.name))
    return _conform(rows, make_schema(PURCHASE_LINES.columns)).combine_chunks()


def derive_orders(steps: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Returns the rows of `orders` and of `order_attempts` of merged steps."""
    count = steps.num_rows
    if not count:
        return make_schema(ORDERS.columns).empty_table(), make_schema(ORDER_ATTEMPTS.columns).empty_table()
    started = pc.equal(steps["event"], START.event)
    last = _last_of_group(steps, ("order_id",))
    at, nothing = steps["at"], pa.scalar(None, pa.timestamp("us"))
    rows = pa.table(
        {
            "order_id": steps["order_id"],
            "customer": steps["customer"],
            "received_at": pc.if_else(pc.equal(steps["event"], ACCEPT.event), at, nothing),
            "started_at": pc.if_else(started, at, nothing),
            "attempts": pc.cast(started, pa.int64()),
            "detail": steps["detail"],
        }
    )
    grouped = rows.group_by("order_id", use_threads=False).aggregate(
        [
            ("customer", "max"),
            ("received_at", "min"),
            ("started_at", "min"),
            ("started_at", "max"),
            ("attempts", "sum"),
            ("detail", "last"),
        ]
    )
    # Steps are sorted by order, so the groups are in the order of their last steps.
    final = steps.filter(last)
    state = final["state"]
    is_final = pc.is_in(state, pa.array(sorted(FINAL)))
    finished = pc.if_else(is_final, final["at"], nothing)
    orders = pa.table(
        {
            "order_id": grouped["order_id"],
            "customer": grouped["customer_max"],
            "state": state,
            "received_at": grouped["received_at_min"],
            "started_at": grouped["started_at_max"],
            "finished_at": finished,
            "attempts": grouped["attempts_sum"],
            "waiting_ms": _milliseconds(grouped["started_at_min"], grouped["received_at_min"]),
            "processing_ms": _milliseconds(finished, grouped["started_at_max"]),
            "detail": grouped["detail_last"],
        }
    )
    return _conform(orders, make_schema(ORDERS.columns)), _derive_attempts(steps, started, last)


def forget_user(rows: pa.Table, table: LakeTable, users: Iterable[str]) -> pa.Table:
    """Returns rows in which users are replaced by `FORGOTTEN`."""
    if table.user is None:
        return rows
    place = rows.schema.get_field_index(table.user)
    known = pc.fill_null(pc.is_in(rows[table.user], pa.array(list(users), pa.string())), False)
    return rows.set_column(place, rows.schema.field(place), pc.if_else(known, FORGOTTEN, rows[table.user]))


def make_rows(table: LakeTable, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Returns rows of a table from their members; missing ones are NULL. Raises StoreError."""
    with translate_errors(f"rows of {table.name} cannot be stored"):
        return pa.Table.from_pylist(list(rows), make_schema(table.columns))


def _derive_attempts(steps: pa.Table, started: Any, last: Any) -> pa.Table:
    """Each start is an attempt, and the next step of the same order is its end."""
    count = steps.num_rows
    places = pa.array(range(1, count + 1), pa.int64())
    following = pc.if_else(last, pa.scalar(None, pa.int64()), places)
    ends = steps.select(["at", "state", "detail"]).take(following)
    firsts = pc.cast(started, pa.int64())
    running = pc.cumulative_sum(firsts)
    # The number of starts before the order's first step.
    is_first = pa.concat_arrays([pa.array([True]), _flat(last)[:-1]]) if count > 1 else pa.array([True])
    before = pc.fill_null_forward(
        _flat(pc.if_else(is_first, pc.subtract(running, firsts), pa.scalar(None, pa.int64())))
    )
    rows = pa.table(
        {
            "order_id": steps["order_id"],
            "attempt": pc.subtract(running, before),
            "started_at": steps["at"],
            "ended_at": ends["at"],
            "outcome": ends["state"],
            "detail": ends["detail"],
        }
    )
    return _conform(rows.filter(started), make_schema(ORDER_ATTEMPTS.columns))


def _list_paths(column: Column) -> list[str]:
    """Returns the paths of a column in a Parquet file."""
    return [f"{column.name}.list.element.{field.name}" for field in column.fields] or [column.name]


def _event_columns(table: LakeTable) -> list[Column]:
    has_event = any(column.name == _EVENT.name for column in table.columns)
    return [*table.columns] if has_event else [*table.columns, _EVENT]


def _conform(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Returns rows in the columns of a schema: missing ones are NULL, others are left out."""
    names = set(rows.column_names)
    columns = [
        rows[field.name].cast(field.type) if field.name in names else _constant(field, rows.num_rows)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _constant(field: pa.Field, count: int) -> Any:
    if field.name == "schema":
        return pa.array([SCHEMA_VERSION] * count, field.type)
    return pa.nulls(count, field.type)


def _last_of_group(rows: pa.Table, names: Sequence[str]) -> Any:
    """Returns a mask of the rows that are the last ones with their values; rows are sorted by these columns."""
    count = rows.num_rows
    differs = None
    for name in names:
        column = _flat(rows[name])
        unlike = pc.fill_null(pc.not_equal(column[:-1], column[1:]), True)
        differs = unlike if differs is None else pc.or_(differs, unlike)
    return pa.array([True]) if count == 1 else pa.concat_arrays([_flat(differs), pa.array([True])])


def _flat(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _milliseconds(end: Any, begin: Any) -> Any:
    return pc.divide(pc.cast(pc.cast(pc.subtract(end, begin), pa.int64()), pa.float64()), float(_MILLISECOND))
