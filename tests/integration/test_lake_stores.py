"""The lake's files in a folder, and in a bucket on a real server of S3, from which queries read them."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import aioboto3
import pytest

from clients.lake.queries import LakeQueries
from services.lake.bucket import open_storage
from services.lake.settings import LakeSettings
from shared.domain.errors import StoreError
from shared.lake.athena import describe_database, glue_type
from shared.lake.layout import state_path
from shared.lake.states import make_rows, write_state
from shared.lake.storage import LakeStorage
from shared.lake.tables import PARTITIONS, PURCHASES, list_tables
from tests.support.cloud import REGION, cloud_at
from tests.support.eventually import eventually


async def use_storage(storage: LakeStorage) -> None:
    """Uses a storage as the service does."""
    assert await storage.read("main/a/x.json") is None
    assert await storage.list_files("main/a/") == []
    for content in (b"one", b"two" * 1_000_000):
        await storage.write("main/a/year=2026/x.json", content)
        assert await storage.read("main/a/year=2026/x.json") == content
    await storage.write("main/ab/y.json", b"")
    assert await storage.list_files("main/a/") == ["main/a/year=2026/x.json"]
    assert await storage.list_files("") == ["main/a/year=2026/x.json", "main/ab/y.json"]
    for _ in range(2):
        await storage.remove("main/ab/y.json")
    assert await storage.list_files("main/ab/") == []


async def write_purchase(storage: LakeStorage) -> None:
    rows = [{"purchase_id": "p1", "total_amount": Decimal("12.90"), "items": []}]
    await storage.write(state_path("main", PURCHASES, "2026-11-27"), write_state(make_rows(PURCHASES, rows), PURCHASES))


async def test_files_in_a_folder_are_the_owner_s_alone(tmp_path: Path) -> None:
    location = LakeSettings(data_dir=str(tmp_path)).locate()
    async with open_storage(location, region=None, endpoint=None) as storage:
        await use_storage(storage)
    file = tmp_path / "lake/main/a/year=2026/x.json"
    assert [path.stat().st_mode & 0o077 for path in (file, *list(file.parents)[:4])] == [0] * 5
    file.with_name("y.json.part").write_bytes(b"unfinished")
    async with open_storage(location, region=None, endpoint=None) as storage:
        assert await storage.list_files("main/") == ["main/a/year=2026/x.json"]


async def test_files_in_a_bucket_and_queries_over_them(dynamodb: str) -> None:
    settings = LakeSettings(lake_url="s3://lake-1/some/prefix/", aws_region=REGION, aws_endpoint_url=dynamodb)
    async with cloud_at(dynamodb) as cloud:
        await cloud.s3.create_bucket(Bucket="lake-1", CreateBucketConfiguration={"LocationConstraint": REGION})
        async with open_storage(settings.locate(), region=REGION, endpoint=dynamodb) as storage:
            await use_storage(storage)
            await write_purchase(storage)
        listed = await cloud.s3.list_objects_v2(Bucket="lake-1")
        assert all(one["Key"].startswith("some/prefix/main/") for one in listed["Contents"])
    queries = LakeQueries(settings.locate())
    found = await queries.run("main", "SELECT day, SUM(total_amount) FROM purchases GROUP BY day")
    await queries.close()
    assert found.rows == [["27", Decimal("12.90")]]


async def test_the_statements_for_athena_make_the_tables_known_to_glue(dynamodb: str) -> None:
    statements = describe_database("s3://lake-2/x/", "my-shop").rstrip(";\n").split(";\n\n")
    assert statements[0] == "CREATE DATABASE IF NOT EXISTS comanda_my_shop"
    session = aioboto3.Session(region_name=REGION)
    options = {"endpoint_url": dynamodb}
    async with cloud_at(dynamodb) as cloud, session.client("glue", **options) as glue:
        await cloud.s3.create_bucket(Bucket="lake-2", CreateBucketConfiguration={"LocationConstraint": REGION})
        # The server takes this statement for one of DuckDB.
        await glue.create_database(DatabaseInput={"Name": "comanda_my_shop"})
        async with session.client("athena", **options) as athena:
            for statement in statements[1:]:
                await run_statement(athena, statement)
        known = {table["Name"]: table for table in (await glue.get_tables(DatabaseName="comanda_my_shop"))["TableList"]}
    assert known.keys() == {name for table in list_tables("my-shop") for name in (table.name, table.events) if name}
    for table in list_tables("my-shop"):
        found = known[table.name]["StorageDescriptor"]
        assert found["Location"].rstrip("/") == f"s3://lake-2/x/my-shop/{table.name}"
        columns = [(column["Name"], column["Type"].lower()) for column in found["Columns"]]
        assert columns == [(column.name, glue_type(column)) for column in table.columns]
        parts = [part["Name"] for part in known[table.name].get("PartitionKeys", ())]
        assert parts == (list(PARTITIONS) if table.daily else [])


async def run_statement(athena: Any, statement: str) -> None:
    started = await athena.start_query_execution(
        QueryString=statement,
        QueryExecutionContext={"Database": "comanda_my_shop"},
        ResultConfiguration={"OutputLocation": "s3://lake-2/results/"},
    )
    state: dict[str, Any] = {}

    async def has_ended() -> bool:
        answer = await athena.get_query_execution(QueryExecutionId=started["QueryExecutionId"])
        state.update(answer["QueryExecution"]["Status"])
        return state["State"] in ("SUCCEEDED", "FAILED")

    await eventually(has_ended)
    assert state["State"] == "SUCCEEDED", (statement, state)


async def test_a_bucket_that_does_not_answer_is_an_error_of_the_store(dynamodb: str) -> None:
    for url, endpoint, reason in (
        ("s3://no-such-bucket", dynamodb, "NoSuchBucket"),
        ("s3://lake-1", "http://127.0.0.1:9", "no answer"),
    ):
        location = LakeSettings(lake_url=url, aws_region=REGION, aws_endpoint_url=endpoint).locate()
        async with open_storage(location, region=REGION, endpoint=endpoint) as storage:
            for attempt in (storage.write("a", b""), storage.list_files(""), storage.remove("a")):
                with pytest.raises(StoreError, match=reason):
                    await attempt
