"""Arguments of the commands that read banks, build the ledger or load reference data."""

from pathlib import Path

from pipelines.commands.arguments.common import Commands, json_option, sources_option, start_new_option, wait_option
from pipelines.commands.option_types import count, day, hours, reason


def declare(commands: Commands) -> None:
    """Declares `run`, `backfill`, `import`, `transform`, `check`, `catalog`, `rates`."""
    run = commands.add("run", "commands.run.run", "extract, load, build the ledger, check it, publish it")
    sources_option(run)
    run.add_argument("--since", type=day, metavar="DATE", help="read again from this day (YYYY-MM-DD)")
    run.add_argument("--full-refresh", action="store_true", help="read all that the banks still show; overrides --since")
    run.add_argument(
        *("--accept-removals", "--accept-changes"),
        action="append",
        default=[],
        metavar="ACCOUNT_ID",
        help="accept what is held for confirmation of this account: rows that its bank removed or changed",
    )
    run.add_argument(
        "--due-hours", type=hours, metavar="N", help="Kontomatik: only consents whose last import is at least N hours ago"
    )
    run.add_argument("--reserve", type=count, default=0, metavar="N", help="reserve N imports per account for manual use")
    wait_option(run)
    start_new_option(run)
    run.add_argument("--sandbox", action="store_true", help="read the built-in sandbox bank, into a data directory of its own")
    json_option(run)
    backfill = commands.add(
        "backfill", "commands.run.backfill", "read older days; name each account whose bank does not show them (status 4)"
    )
    backfill.add_argument("--since", type=day, required=True, metavar="DATE", help="first day to read (YYYY-MM-DD)")
    sources_option(backfill)
    wait_option(backfill)
    json_option(backfill)
    _declare_import(commands)
    json_option(commands.add("transform", "commands.run.transform", "rebuild the ledger from raw history, without network"))
    json_option(
        commands.add("check", "commands.run.check", "check the published ledger against raw history again, without network")
    )

    catalog = commands.add(
        "catalog", "commands.reference_data.catalog", "list the banks of Kontomatik; without filters, store them in the ledger"
    )
    catalog.add_argument("--country", metavar="C", help="two letters, e.g. pl")
    catalog.add_argument("--access-mode", choices=("SINGLE", "MULTIPLE", "MIXED"))
    json_option(catalog)
    rates = commands.add(
        "rates",
        "commands.reference_data.rates",
        "load reference rates of the European Central Bank (CSV); the ledger converts amounts by them",
    )
    rates.add_argument(
        "--file", type=Path, metavar="PATH", help="a CSV file of the form of the European Central Bank, or its zip"
    )
    rates.add_argument("--url", metavar="URL", help="https address of such a file")
    json_option(rates)


def _declare_import(commands: Commands) -> None:
    files = commands.add(
        "import",
        "commands.file_import.import_files",
        "import account statements (CAMT.053, MT940, CSV) from files, list them, take them back, erase them",
    )
    files.add_argument("files", nargs="*", type=Path, metavar="FILE", help="a file of statements; its content says its format")
    files.add_argument(
        "--account",
        metavar="ACCOUNT",
        help="the account that they are of: its id, or the last characters of its IBAN (default: by the number in the file)",
    )
    files.add_argument("--new", action="store_true", default=False, help="make the account: its bank is not connected")
    files.add_argument("--name", metavar="BANK", help="with --new: the name of its bank")
    files.add_argument("--currency", metavar="CODE", help="the currency, where the file names none")
    files.add_argument("--encoding", metavar="NAME", help="the encoding of an MT940 file that is not UTF-8")
    of_csv = files.add_argument_group("of a CSV file")
    of_csv.add_argument("--mapping", type=Path, metavar="FILE", help="which column is what, in TOML (docs/accounting.md)")
    of_csv.add_argument(
        "--from", dest="first", type=day, metavar="DATE", help="first day that it holds whole (default: of its first entry)"
    )
    of_csv.add_argument(
        "--to", dest="last", type=day, metavar="DATE", help="last day that it holds whole (default: of its last entry)"
    )
    files.add_argument(
        "--accept-differences",
        action="store_true",
        default=False,
        help="import a file that differs from the bank on days that both show: the bank's entries count there",
    )
    files.add_argument("--dry-run", action="store_true", default=False, help="show what would be imported, and change nothing")
    files.add_argument("--list", action="store_true", default=False, help="list the files that were imported")
    files.add_argument("--undo", action="append", default=[], metavar="ID", help="take an imported file back; may be repeated")
    files.add_argument(
        "--erase",
        action="append",
        default=[],
        metavar="ID",
        help="remove a file for good, or an account that is known from files only; writes a receipt; may be repeated",
    )
    files.add_argument(
        "--yes", action="store_true", default=False, help="with --erase: do not ask; without a terminal it has to be given"
    )
    files.add_argument("--reason", type=reason, metavar="TEXT", help="with --erase: why, for the receipt; name no person")
    files.add_argument(
        "--assign",
        metavar="ACCOUNT",
        help="an account that is known from files only (its id, number or bank) is the one that --account names",
    )
    wait_option(files)
    json_option(files)
