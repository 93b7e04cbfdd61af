"""The place of the lake: a folder of this machine, or a prefix of an S3 bucket."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from clients.errors import WrongUsage

FOLDER: Final = "lake"
"""The name of the lake's folder in DATA_DIR."""

_SCHEME: Final = "s3://"
_CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "access_key",
    "AWS_SECRET_ACCESS_KEY": "secret_key",
    "AWS_SESSION_TOKEN": "session_token",
}


class LakeLocation(NamedTuple):
    """The root of the lake's files."""

    root: str
    """An absolute path, or BUCKET/PREFIX."""
    bucket: Mapping[str, Any] | None = None
    """How a bucket is reached, as arguments of Arrow's S3 file system; None for a folder."""

    @property
    def bucket_name(self) -> str:
        """The name of the bucket."""
        return self.root.partition("/")[0]

    @property
    def prefix(self) -> str:
        """The prefix of keys in the bucket, with a slash at its end unless it is empty."""
        prefix = self.root.partition("/")[2]
        return f"{prefix}/" if prefix else ""


def resolve_location(
    url: str | None, data_dir: str, *, region: str | None, endpoint: str | None, environ: Mapping[str, str] = os.environ
) -> LakeLocation:
    """Returns the place that LAKE_URL names, by default a folder in `data_dir`.

    Raises WrongUsage for a URL that is none of S3.
    """
    if url is None:
        return LakeLocation(str((Path(data_dir) / FOLDER).absolute()))
    root = url.removeprefix(_SCHEME).strip("/")
    if not url.startswith(_SCHEME) or not root or "//" in root or ".." in root:
        raise WrongUsage(f"LAKE_URL={url} is not the address of a bucket", hint="for example s3://my-bucket/lake")
    bucket: dict[str, Any] = {own: environ[name] for name, own in _CREDENTIALS.items() if environ.get(name)}
    if region is not None:
        bucket["region"] = region
    if endpoint is not None:
        scheme, _, host = endpoint.rpartition("://")
        bucket |= {"endpoint_override": host, "scheme": scheme or "https"}
    return LakeLocation(root, bucket)
