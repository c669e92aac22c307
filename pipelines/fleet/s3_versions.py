"""Finds and removes what an S3 bucket keeps besides its newest objects: older versions, and parts of uploads that nobody ended.

A bucket with versioning keeps an object that was deleted, and gives it to whoever asks for versions. The parts of an upload whose
process was killed are in no list of objects. After an erasure neither may be left.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

NOT_HERE = "NotImplemented"
"""The code by which a server says that it has no versions, or no uploads in parts."""


@dataclass(frozen=True)
class Stored:
    """An object of the store; with a `version` only that version of it; with an `upload` the parts of one that was not ended."""

    name: str
    version: str | None = None
    upload: str | None = None


def all_versions(files: "AbstractFileSystem", root: str, cell: str) -> Iterator[Stored]:
    """Yields each version of a cell's objects, the marks of deleted ones, and the uploads that were not ended."""
    bucket, prefix = _bucket_and_key(root, f"{cell}/")
    own = len(prefix) - len(f"{cell}/")
    for answer in _pages(files, "list_object_versions", Bucket=bucket, Prefix=prefix):
        for one in (*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())):
            yield Stored(one["Key"][own:], version=one["VersionId"])
    for answer in _pages(files, "list_multipart_uploads", Bucket=bucket, Prefix=prefix):
        for one in answer.get("Uploads", ()):
            yield Stored(one["Key"][own:], upload=one["UploadId"])


def remove_for_good(files: "AbstractFileSystem", root: str, one: Stored) -> None:
    """Removes a version, or the parts of an upload. Raises `FileNotFoundError` when it is gone already."""
    bucket, key = _bucket_and_key(root, one.name)
    if one.upload is not None:
        files.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=one.upload)
    else:
        files.call_s3("delete_object", Bucket=bucket, Key=key, VersionId=one.version)


def code_of(error: BaseException) -> str | None:
    """Returns the code of a server's refusal, for example `AccessDenied`; None where there is none."""
    response = getattr(error.__cause__ or error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return code if isinstance(code, str) and code.isalnum() else None


def _bucket_and_key(root: str, name: str) -> tuple[str, str]:
    bucket, _, folder = root.partition("/")
    return bucket, f"{folder}/{name}" if folder else name


def _pages(files: "AbstractFileSystem", call: str, **asked: str) -> Iterator[dict[str, Any]]:
    while True:
        try:
            answer = files.call_s3(call, **asked)
        except OSError as error:
            if code_of(error) == NOT_HERE:
                return
            raise
        yield answer
        following = {name.removeprefix("Next"): value for name, value in answer.items() if name.startswith("Next") and value}
        if not answer.get("IsTruncated") or not following:
            return
        asked |= following  # `NextKeyMarker` is the `KeyMarker` to ask for
