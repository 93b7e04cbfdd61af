"""Covers in files, and in a bucket on a real server of S3."""

from pathlib import Path

import pytest

from services.gateway.images.bucket import open_cover_store
from services.gateway.images.covers import CoverStore, name_cover
from services.gateway.images.scaling import Cover
from services.gateway.settings import GatewaySettings
from shared.domain.covers import small_cover
from shared.domain.errors import InvalidParams, NotFound, StoreError
from tests.support.cloud import REGION, cloud_at


def settings(endpoint: str, bucket: str) -> GatewaySettings:
    return GatewaySettings(covers_bucket=bucket, aws_region=REGION, aws_endpoint_url=endpoint)


async def use_covers(store: CoverStore) -> None:
    """Uses a store as the gateway does."""
    cover = Cover(b"large" * 100_000, b"small")
    name = name_cover("book", cover)
    for _ in range(2):
        await store.save("main", name, cover)
    assert await store.load("main", name) == cover.large
    assert await store.load("main", small_cover(name)) == cover.small
    for tenant, other in (("other", name), ("main", "0" * 40 + ".webp"), ("main", "../secret")):
        with pytest.raises(NotFound):
            await store.load(tenant, other)
    with pytest.raises(InvalidParams):
        await store.load("..", name)
    await store.remove("main", name)
    await store.remove("main", name)
    with pytest.raises(NotFound):
        await store.load("main", name)


async def test_covers_are_files(tmp_path: Path) -> None:
    async with open_cover_store(GatewaySettings(data_dir=str(tmp_path))) as store:
        await use_covers(store)


async def test_covers_are_objects_of_a_bucket(dynamodb: str) -> None:
    async with cloud_at(dynamodb) as cloud:
        await cloud.s3.create_bucket(Bucket="covers-1", CreateBucketConfiguration={"LocationConstraint": REGION})
        async with open_cover_store(settings(dynamodb, "covers-1")) as store:
            await use_covers(store)
            cover = Cover(b"large", b"small")
            await store.save("main", name_cover("b", cover), cover)
        listed = await cloud.s3.list_objects_v2(Bucket="covers-1")
        assert len(listed["Contents"]) == 2
        assert all(one["Key"].startswith("covers/main/") for one in listed["Contents"])
        head = await cloud.s3.head_object(Bucket="covers-1", Key=listed["Contents"][0]["Key"])
        assert (head["ContentType"], "immutable" in head["CacheControl"]) == ("image/webp", True)


async def test_a_bucket_that_is_not_there_is_an_error_of_the_store(dynamodb: str) -> None:
    cover = Cover(b"large", b"small")
    async with open_cover_store(settings(dynamodb, "no-such-bucket")) as store:
        with pytest.raises(StoreError, match="NoSuchBucket"):
            await store.save("main", name_cover("b", cover), cover)
        with pytest.raises(StoreError, match="NoSuchBucket"):
            await store.load("main", name_cover("b", cover))
    async with open_cover_store(settings("http://127.0.0.1:9", "covers-1")) as store:
        with pytest.raises(StoreError, match="no answer"):
            await store.load("main", name_cover("b", cover))
