"""Arguments of the commands that ask or copy without a change."""

from pathlib import Path

from pipelines.commands.arguments.common import Commands, json_option
from pipelines.commands.option_types import age, count, day, month, reason


def declare(commands: Commands) -> None:
    """Declares `status`, `query`, `categorise`, `prove`, `close`, `reopen`, `explain`, `owners`, `export`, `report`.

    And, for a lender, `affordability`.
    """
    status = commands.add("status", "commands.questions.status", "freshness per account, consents, quota, last run and checks")
    status.add_argument(
        "--max-age",
        type=age,
        metavar="HOURS",
        help="end with 4 when an account that should be read is older than this, or a consent has ended",
    )
    form = status.add_mutually_exclusive_group()
    form.add_argument(
        "--openmetrics",
        nargs="?",
        type=Path,
        const=Path("-"),
        metavar="FILE",
        help="OpenMetrics text for a monitor, on standard output or put into FILE as a whole",
    )
    json_option(form)
    query = commands.add(
        "query", "commands.query.query", "ask the published ledger in SQL, read-only; without SQL, a prompt opens"
    )
    query.add_argument("sql", metavar="SQL", nargs="?", help="one statement (default: a prompt, or standard input if piped)")
    form = query.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="CSV; what a spreadsheet would run as a formula gets an apostrophe")
    json_option(form)
    query.add_argument(
        "--limit",
        type=count,
        metavar="N",
        help="at most N rows, 0 for all (default: 100 on a terminal, all in CSV, JSON or a pipe)",
    )
    categorise = commands.add(
        "categorise", "commands.categorise.categorise", "write rules for the counterparties that have no category yet"
    )
    categorise.add_argument("--limit", type=count, default=20, metavar="N", help="the N with the most movements (default: 20)")
    categorise.add_argument("--counterparty", metavar="ID", help="write one rule, without a question: for this counterparty")
    categorise.add_argument("--direction", choices=("in", "out"), help="with --counterparty: only money in, or only money out")
    categorise.add_argument("--to", metavar="LEDGER_ACCOUNT", help="with --counterparty: the account, or its last part")
    json_option(categorise)
    prove = commands.add(
        "prove",
        "commands.questions.prove",
        "reconciliation report of an account: which days were read and reconciled, and what is missing (status 3)",
    )
    prove.add_argument(
        "account",
        metavar="ACCOUNT",
        nargs="?",
        help="its id, or the last characters of its IBAN (default: a line for each account)",
    )
    prove.add_argument("--from", dest="first", type=day, required=True, metavar="DATE", help="first day (YYYY-MM-DD)")
    prove.add_argument("--to", dest="last", type=day, required=True, metavar="DATE", help="last day")
    json_option(prove)
    _declare_closing(commands)
    owners = commands.add("owners", "commands.questions.owners", "list the owners of the accounts that Kontomatik reads")
    owners.add_argument("--reveal", action="store_true", help="show national ids that are kept; the audit trail records it")
    json_option(owners)
    explain = commands.add(
        "explain", "commands.questions.explain", "where a transaction came from: versions, imports, loads, rules"
    )
    explain.add_argument(
        "transaction_id", metavar="TRANSACTION_ID", help="as in the column transaction_id of the ledger's `transactions`"
    )
    explain.add_argument("--ask-bank", action="store_true", help="also request it from Kontist and compare it")
    json_option(explain)
    export = commands.add("export", "commands.questions.export", "copy the ledger to files for other programs")
    forms = ("csv", "parquet", "xlsx", "beancount", "hledger", "ofx", "camt053", "mt940", "datev")
    export.add_argument("--format", choices=forms, required=True)
    export.add_argument("--out", type=Path, metavar="DIR", help="where to (default: `export` in the data directory)")
    chosen = export.add_argument_group("of account statements (camt053, mt940, ofx) and batches (datev)")
    chosen.add_argument(
        "--from", dest="first", type=day, metavar="DATE", help="first day (default: of each account its first known one)"
    )
    chosen.add_argument(
        "--to",
        dest="last",
        type=day,
        metavar="DATE",
        help="last day (default: of each account the last that was read after its end)",
    )
    chosen.add_argument("--account", metavar="ACCOUNT", help="only this one: its id, or the last characters of its IBAN")
    chosen.add_argument(
        "--per", choices=("month", "day"), help="one statement a month or a day (default: month; ofx has one in all)"
    )
    chosen.add_argument(
        "--allow-incomplete",
        action="store_true",
        default=False,
        help="also write statements with days that are not complete; they say so themselves",
    )
    chosen.add_argument(
        "--skr", choices=("03", "04"), help="datev: the chart of accounts (default: the setting datev_skr, else 03)"
    )
    json_option(export)
    report = commands.add("report", "commands.report_page.report", "one HTML page to look at, drawn from the published ledger")
    report.add_argument(
        "--out", type=Path, metavar="FILE", help="where to (default: report.html beside the ledger; of a part: in `export`)"
    )
    report.add_argument("--month", type=month, metavar="YYYY-MM", help="the month whose days and transactions are shown")
    report.add_argument("--account", metavar="ACCOUNT", help="only this one: its id, or the last characters of its IBAN")
    report.add_argument("--open", action="store_true", help="open it in a browser")
    json_option(report)


def _declare_closing(commands: Commands) -> None:
    close = commands.add(
        "close", "commands.closing.close", "close a month: record what it held; later changes of a bank are corrected in the open"
    )
    what = close.add_mutually_exclusive_group(required=True)
    what.add_argument("--month", type=month, metavar="YYYY-MM", help="close it, and the months before it that are open")
    what.add_argument("--list", action="store_true", help="list the closed months, and what differs since")
    what.add_argument(
        "--verify", action="store_true", help="compare the trail of closings with itself and with raw history (status 3)"
    )
    close.add_argument(
        "--record", metavar="HASH", help="with --verify: the hash of a record that you have kept; a trail without it has a fault"
    )
    close.add_argument("--account", metavar="ACCOUNT", help="only this one: its id, or the last characters of its IBAN")
    close.add_argument(
        "--allow-incomplete",
        action="store_true",
        default=False,
        help="also close incomplete months; the trail says so",
    )
    json_option(close)
    reopen = commands.add("reopen", "commands.closing.reopen", "reopen a closed month, and the closed months after it")
    reopen.add_argument("--month", type=month, required=True, metavar="YYYY-MM", help="the first month to reopen")
    reopen.add_argument("--reason", type=reason, required=True, metavar="TEXT", help="why, for the trail; names no person")
    reopen.add_argument("--account", metavar="ACCOUNT", help="only this one: its id, or the last characters of its IBAN")
    json_option(reopen)
    affordability = commands.add(
        "affordability",
        "commands.affordability.affordability",
        "for a lender: income, costs, balances and proof of each owner, as a page to print and as JSON",
    )
    affordability.add_argument(
        "--owner", metavar="OWNER_ID", help="only this one, as `owners` lists it; or an account without owners"
    )
    affordability.add_argument(
        "--out", type=Path, metavar="FILE", help="the page, with JSON beside it (default: in `export`, for each owner)"
    )
    json_option(affordability)
