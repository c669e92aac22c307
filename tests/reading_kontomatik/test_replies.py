"""Whole answers, and beside each what is read from it.

To accept a change, name the answers: `GOLDEN=openapi-wrapped,live-in-a-namespace make test` writes those, then read the diff.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.reading_kontomatik.fake_bank import read, rejected_of, result_of, rows_of

REPLIES = Path(__file__).parent / "replies"
ALL = sorted(REPLIES.glob("*.xml"))


def content_of(path: Path) -> dict[str, Any]:
    """What an answer says, as JSON would have it."""
    reply = read(path.read_bytes())
    assert reply.result is not None
    result = reply.result
    found = {
        "command_id": reply.command_id,
        "state": reply.state,
        "spoken": reply.spoken,
        "target": result.target,
        "institution": result.institution,
        "token": result.token,
        "unknown_fields": sorted(result.unknown_fields),
        "owners": result.owners,
        "accounts": [
            {
                "account_id": one.account_id,
                "source_account_id": one.source_account_id,
                "partial": one.partial,
                "newest_first": one.newest_first,
                "error": str(one.error) if one.error else None,
                "unknown_fields": sorted(one.unknown_fields),
                "account": one.account,
                "rows": rows_of(one),
                "rejected": rejected_of(one),
            }
            for one in result.accounts
        ],
    }
    return json.loads(json.dumps(found, default=str))  # type: ignore[no-any-return]


@pytest.mark.parametrize("reply", ALL, ids=lambda path: path.stem)
def test_a_reply_reads_as_expected(reply: Path) -> None:
    expected = reply.with_suffix(".expected.json")
    if reply.stem in os.environ.get("GOLDEN", "").split(","):
        expected.write_text(json.dumps(content_of(reply), indent=1, ensure_ascii=False) + "\n")
    assert content_of(reply) == json.loads(expected.read_text())


@pytest.mark.parametrize("other", ["wrapped", "wrapped-same-names", "wrapped-small-names"])
def test_an_array_says_the_same_repeated_or_wrapped_and_in_any_order(other: str) -> None:
    assert content_of(REPLIES / f"openapi-{other}.xml") == content_of(REPLIES / "openapi-repeated.xml")


def test_rows_of_small_batches_are_the_rows_of_one() -> None:
    for path in ALL:
        whole, parted = result_of(path.read_bytes()), result_of(path.read_bytes(), batch=1)
        assert [rows_of(one) for one in parted.accounts] == [rows_of(one) for one in whole.accounts]
        assert [one.newest_first for one in parted.accounts] == [one.newest_first for one in whole.accounts]
