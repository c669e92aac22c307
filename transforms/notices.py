"""What a good ledger still has to tell: money that is under way for too long, days that the bank's balances contradict.

No check: such a ledger is right, and published. It is the world that somebody should look at.
"""

import duckdb

_ASKED = (
    (
        "select count(*) from ledger.in_transit where overdue",
        "{number} own transfer{s} under way for more than ten days: the other account is not read, or it is no transfer"
        " (`in_transit`)",
    ),
    (
        "select count(distinct account_id) from ledger.coverage where difference_amount is not null",
        "{number} account{s} whose bank moved more or less than the ledger holds: `prove ACCOUNT --from DAY --to DAY` names day"
        " and amount (`coverage`)",
    ),
    (
        "select count(*) from ledger.transfers where status = 'suggested'",
        "{number} suggested transfer{s} to confirm or reject in seeds/transfers.csv (`transfers`)",
    ),
    (
        "select count(*) from seeds.transfers as decided where not exists (select 1 from ledger.transactions as known"
        " where known.transaction_id = decided.out_transaction_id) or not exists (select 1 from ledger.transactions as known"
        " where known.transaction_id = decided.in_transaction_id)",
        "{number} row{s} of seeds/transfers.csv decide nothing: the ledger has no transaction of that id",
    ),
)


def notices(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Sentences with numbers, never a row, about the attached `ledger` and the seeds that it was built with."""
    told = []
    for query, sentence in _ASKED:
        ((number,),) = connection.execute(query).fetchall()
        if number:
            told.append(sentence.format(number=number, s="" if number == 1 else "s"))
    return told
