"""SQL over the analytics lake: the tables of the tenant, and one SELECT at a time."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from clients.lake.queries import MAX_SQL, LakeQueries, ResultColumn
from clients.lake.requests import read_heartbeat
from clients.persistence import PersistenceClient
from services.gateway.http.principal import ADMINS
from services.gateway.http.responses import json_response
from services.gateway.http.routes import UPSTREAM_ERRORS, HttpRequest, HttpResponse, ResponseSpec, route
from services.gateway.upstream.backend import Backend
from shared.csv.results import export_results
from shared.domain.errors import NotOffered
from shared.lake.tables import PARTITIONS, Column, Kind, LakeTable, list_tables

_TYPES: dict[Kind, str] = {
    "text": "VARCHAR",
    "whole": "BIGINT",
    "money": "DECIMAL(18,2)",
    "number": "DOUBLE",
    "flag": "BOOLEAN",
    "time": "TIMESTAMP",
    "rows": "STRUCT[]",
}
_CSV = "text/csv; charset=utf-8"


class SqlQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A query."""

    sql: Annotated[str, Meta(min_length=1, max_length=MAX_SQL, description="One SELECT statement")]


class SqlOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The form of the result."""

    format: Annotated[Literal["json", "csv"], Meta(description="json, or csv for spreadsheets")] = "json"


class SqlResult(Struct, frozen=True):
    """The result of a query."""

    columns: Sequence[ResultColumn]
    rows: Sequence[Sequence[Any]]
    truncated: Annotated[bool, Meta(description="Whether there are more rows than a result may have")]
    seconds: float


class TableColumn(Struct, frozen=True):
    """A column."""

    name: str
    type: str
    description: str = ""


class TableView(Struct, frozen=True):
    """A table or a view."""

    name: str
    description: str
    columns: Sequence[TableColumn]


class LakeState(Struct, frozen=True):
    """The state of the service that fills the lake."""

    status: Annotated[str, Meta(description="ok, degraded while it cannot write, or away")]
    behind_s: Annotated[float | None, Meta(description="Seconds since it had exported everything")] = None


class LakeTables(Struct, frozen=True):
    """The tables of the tenant."""

    tables: Sequence[TableView]
    state: LakeState


class AnalyticsRoutes:
    """Routes below /api/v1/analytics. Without `queries` there is no lake."""

    def __init__(self, persistence: Backend[PersistenceClient], queries: LakeQueries | None) -> None:
        self._persistence = persistence
        self._queries = queries

    @route(
        "POST",
        "/api/v1/analytics/sql",
        id="run_post_analytics",
        tag="analytics",
        access=ADMINS,
        summary="Ask the analytics lake",
        description="One SELECT over the tables of the tenant. Decimal numbers are exact; times are in UTC.",
        query=SqlOptions,
        body=SqlQuery,
        example={"sql": "SELECT status, COUNT(*) AS purchases FROM purchases GROUP BY status"},
        responses={200: ResponseSpec(SqlResult, "The rows, as JSON or as CSV")},
        errors=("invalid_params", "unavailable", "deadline_exceeded"),
        limit_group="sql",
    )
    async def _run_sql(self, request: HttpRequest) -> HttpResponse:
        found = await self._require_lake().run(request.principal.tenant, request.body.sql)
        if request.query.format == "csv":
            content = export_results([column.name for column in found.columns], found.rows)
            return HttpResponse(200, [(b"content-type", _CSV.encode())], content)
        return json_response(SqlResult(found.columns, found.rows, found.truncated, found.seconds))

    @route(
        "GET",
        "/api/v1/analytics/tables",
        id="tables_get_analytics",
        tag="analytics",
        access=ADMINS,
        summary="List the tables of the analytics lake",
        responses={200: ResponseSpec(LakeTables, "The tables with their columns, and how far the lake is behind")},
        errors=("unavailable", *UPSTREAM_ERRORS),
    )
    async def _list_tables(self, request: HttpRequest) -> HttpResponse:
        self._require_lake()
        tables = [_show_table(table) for table in list_tables(request.principal.tenant)]
        heard = await read_heartbeat(self._persistence.lookups)
        state = LakeState("away") if heard is None else LakeState(heard.status, heard.heartbeat.behind_s)
        return json_response(LakeTables(tables, state))

    def _require_lake(self) -> LakeQueries:
        if self._queries is None:
            raise NotOffered("this installation has no lake", hint="LAKE=on and the packages comanda[lake]")
        return self._queries


def _show_table(table: LakeTable) -> TableView:
    partitions = [Column(name, "text", "Of the day, in UTC") for name in PARTITIONS] if table.daily else []
    columns = [TableColumn(one.name, _TYPES[one.kind], one.description) for one in (*table.columns, *partitions)]
    return TableView(table.name, table.description, columns)
