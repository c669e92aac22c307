"""Reads a file of account statements by its content, whatever its name."""

from dataclasses import dataclass, field
from pathlib import Path

from sources.files import camt053, csv_rows, mt940
from sources.files.values import Document, FileRefused

LARGEST = 1 << 28
"""The largest size of a file, in bytes."""


def content_of(path: Path) -> bytes:
    """Returns the bytes of a file. Raises `FileRefused` for one that is empty, too large, packed, or cannot be read."""
    try:
        if not path.is_file():
            raise FileRefused("There is no such file" if not path.exists() else "It is no file", "Correct the path")
        if path.stat().st_size > LARGEST:
            raise FileRefused(f"It is larger than {LARGEST >> 20} MiB", "Ask the bank for a file of each year")
        content = path.read_bytes()
    except OSError as error:
        raise FileRefused(f"It cannot be read ({error.strerror})", "Correct the path or its permissions") from None
    if not content.strip():
        raise FileRefused("It is empty", "Ask the bank for the file again")
    if content.startswith((b"PK\x03\x04", b"\x1f\x8b")):
        raise FileRefused("It is packed", "Unpack it, and import the files in it")
    return content


@dataclass(frozen=True)
class Hints:
    """Options of a person, for facts that the content of a file lacks."""

    encoding: str | None = None
    """Of an MT940 file."""
    mapping: csv_rows.CsvMapping | None = None
    """Of a CSV file."""
    period: csv_rows.Period = field(default_factory=csv_rows.Period)


def read(content: bytes, hints: Hints) -> Document:
    """Returns the document in a file: CAMT.053 or MT940 by its content, else CSV by its mapping. Raises `FileRefused`."""
    start = content[:4096].lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0")
    if start.startswith(b"<"):
        return camt053.read(content)
    if start.startswith((b":20:", b"{1:", b"{4:", b":940:")) or b"\n:20:" in content[:4096]:
        return mt940.read(content, hints.encoding)
    if hints.mapping is not None:
        return csv_rows.read(content, hints.mapping, hints.period)
    raise FileRefused(
        "It is neither CAMT.053 nor MT940",
        "For a CSV file name its columns with --mapping; of other formats ask the bank for CAMT.053",
    )
