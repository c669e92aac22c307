"""Renders a run's report as rows, for any table that people see: no full account number, no person, no token."""

from collections.abc import Callable, Iterable
from pathlib import Path

from pipelines.consents.consent_status import ConsentStatus
from pipelines.run.accounts import beside_its_bank, display_names
from pipelines.run.report import Report
from pipelines.run.summary import cells
from pipelines.text.numbers import counted
from pipelines.text.sinks import markdown

Row = dict[str, str | int | None]
HEADINGS = ("bank", "account", "read", "new", "changed", "removed", "balance", "result")


def account_rows(report: Report | None, data_dir: Path) -> list[Row]:
    """Returns a row an account: window, new, changed and removed transactions, balance, and how the ledger reconciles it.

    Accounts that this run did not read are shown as they were published last. `report` is None when nothing was read at all.
    """
    kept = _published(data_dir / "ledger.duckdb")
    names = display_names(data_dir / "ledger.duckdb")
    proofs = {account: row["proof"] for account, row in kept}
    rows: list[Row] = []
    read = set()
    for outcome in report.outcomes if report is not None else ():
        row: Row = dict(zip(HEADINGS, cells(outcome, names), strict=True))
        rows.append(row | {"proof": proofs.get(outcome.account_id or ""), "why": outcome.reason})
        if outcome.status in ("complete", "partial"):
            read.add(outcome.account_id)
    return rows + [row for account, row in kept if account not in read]


def check_rows(report: Report) -> list[Row]:
    """Returns a row a failed check, with the number of rows that fail it."""
    return [
        {"check": check.name, "rows": check.failed_rows, "meaning": check.meaning} for check in report.checks if not check.passed
    ]


def consent_rows(listed: Iterable[ConsentStatus]) -> list[Row]:
    """Returns a row for each consent, with its days and imports left."""
    names = ("consent_id", "institution", "access_mode", "status", "days_left", "imports_left", "next_import_at", "reason")
    return [{name: getattr(one, name) for name in names} for one in listed]


def renewal_text(listed: Iterable[ConsentStatus], link: Callable[[str], str | None]) -> str:
    """Returns Markdown with the command, and the link if any, for each consent that ends soon or has ended; empty if none."""
    lines = []
    for one in listed:
        if one.warning is None and one.status != "expired":
            continue
        ends = f"ends in {counted(one.days_left or 0, 'day')}" if one.status != "expired" else "has expired"
        consent_id, url = one.consent_id, link(one.consent_id)
        lines.append(
            f"- **{markdown(one.institution)}**, consent `{consent_id}`, {ends}:"
            f" `python -m pipelines consents renew {consent_id}`" + (f" or [start a sign-in here]({url})" if url else "")
        )
    return "\n".join(lines)


def _published(ledger: Path) -> list[tuple[str, Row]]:
    """Returns each account of the ledger as a row, with the proof of its last day: `chain`, `derived`, `differs`, `unknown`."""
    if not ledger.exists():
        return []
    import duckdb

    from pipelines.store.read_only import read_only

    query = """
        with last_days as (
            select account_id, proof
            from main.balances_daily inner join main.accounts using (account_id)
            where day <= coalesce(balance_on, day)  -- rows dated ahead have days to come
            qualify row_number() over (partition by account_id order by day desc) = 1
        )
        select account_id, institution, display_name, balance, currency, proof
        from main.accounts left join last_days using (account_id)
        order by source, institution, account_id
        """
    try:
        with read_only(ledger) as connection:
            found = connection.execute(query).fetchall()
    except duckdb.Error:
        return []
    rows = []
    for account, institution, display_name, balance, currency, proof in found:
        name = beside_its_bank(display_name, institution)
        shown = "" if balance is None else f"{balance:,.2f} {currency}"
        row: Row = dict(zip(HEADINGS, (institution, name, "–", "", "", "", shown, "not read"), strict=True))
        rows.append((str(account), row | {"proof": proof, "why": "as published before"}))
    return rows
