"""A recurring payment that does not come is a question for people, and no alarm: nobody has promised it."""

from datetime import UTC, datetime

import duckdb
import pytest

from pipelines.notify.dispatch import dispatch_notices
from pipelines.settings import Settings
from pipelines.store.ledger import build_and_publish
from tests.ledger.worlds import Given, raw_file
from tests.notify.receivers import Somebody
from tests.questions.asked import ask

DUE, ENDED = datetime(2026, 4, 20, 6, tzinfo=UTC), datetime(2026, 5, 20, 6, tzinfo=UTC)


def salaries_until_march(read_at: datetime) -> Given:
    """A salary on the 15th of January, February and March, and none after it, read at that time."""
    return {
        "kontist.accounts": [{"balance_cents": 1_000_00}],
        "kontist.imports": [{"account_id": "kontist:a", "finished_at": read_at}],
        "kontist.transactions": [
            {
                "source_transaction_id": str(month),
                "booking_type": "x",
                "booking_date": datetime(2026, month, 15, 12, tzinfo=UTC),
                "amount_cents": 2_500_00,
                "name": "Muster GmbH",
                "purpose": "Gehalt",
            }
            for month in (1, 2, 3)
        ],
    }


@pytest.mark.parametrize(("read_at", "statuses"), [(DUE, ["due", "expected"]), (ENDED, [])], ids=["is due", "has ended"])
def test_a_salary_that_does_not_come_raises_no_notification(settings: Settings, read_at: datetime, statuses: list[str]) -> None:
    raw_file(settings.data_dir / "raw.duckdb", salaries_until_march(read_at))
    published = build_and_publish(settings.data_dir)
    somebody = Somebody()
    sent = dispatch_notices(settings, lambda: read_at, also={"somebody": somebody})

    assert (published.notices, somebody.keys, sent.sentences(), ask(settings.data_dir, "status")) == ([], [], [], 0)
    with duckdb.connect(settings.data_dir / "ledger.duckdb", read_only=True) as ledger:
        found = ledger.execute(
            "select distinct status from expected_payments where order_kind = 'inferred' order by 1"
        ).fetchall()
        (ended,) = ledger.execute("select is_ended from recurring").fetchall()
    assert [status for (status,) in found] == statuses
    assert ended == (read_at == ENDED,)
