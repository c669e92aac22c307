"""Writes rules for counterparties that no mapping and no rule knows yet, into the data directory's own `rules.csv`."""

import csv
import errno
import io
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pipelines.errors import Failure, WrongUsage
from pipelines.store.atomic_files import replace_text
from pipelines.store.ledger import SEEDS
from pipelines.store.private import make_folder
from pipelines.store.sql import rows_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Rows = list[dict[str, Any]]


def uncategorised(connection: "DuckDBPyConnection", limit: int) -> Rows:
    """Returns the counterparties with the most uncategorised movements for which a rule can be written, the first ones."""
    return rows_of(
        connection,
        "select counterparty_id, counterparty_name, direction, currency, transactions, amount, first_on, last_on, rule_line"
        " from uncategorised_counterparties where rule_line is not null order by transactions desc, uncategorised_id limit ?",
        [limit],
    )


def movements_without_rule(connection: "DuckDBPyConnection") -> int:
    """Returns the number of uncategorised movements that no rule by counterparty can match: most of them name none."""
    (found,) = rows_of(
        connection,
        "select cast(coalesce(sum(transactions), 0) as bigint) as number from uncategorised_counterparties"
        " where rule_line is null",
    )
    number: int = found["number"]
    return number


def accounts_to_choose(connection: "DuckDBPyConnection") -> list[str]:
    """Returns the accounts of the chart, to which a rule may book."""
    return [
        row["ledger_account"]
        for row in rows_of(
            connection, "select ledger_account from ledger_accounts where account_id is null order by ledger_account"
        )
    ]


def account_called(text: str, accounts: list[str]) -> str:
    """Returns the account with this name, or the only one with this last part. Raises `WrongUsage`."""
    wanted = text.strip().casefold()
    found = [one for one in accounts if one.casefold() == wanted] or [
        one for one in accounts if one.casefold().endswith(f":{wanted}")
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise WrongUsage("The chart has no such account", f"It has {', '.join(accounts)}")
    raise WrongUsage("Several accounts are called so", f"Name one whole: {', '.join(found)}")


def add_rule(data_dir: Path, rule_line: str, ledger_account: str) -> Path:
    """Appends a line of `uncategorised_counterparties`, with the account of a person's choice, to `rules.csv`; returns its path.

    All that the file holds stays as it is, and so do its rights; behind a link, the file that it points to is changed. Changes
    nothing where it raises: `WrongUsage` for a file that no ledger could be built with, `Failure` for one that cannot be written.
    """
    path = data_dir / SEEDS / "rules.csv"
    try:
        _add(path, rule_line, ledger_account)
    except OSError as error:
        raise Failure(
            f"{path} cannot be changed ({os.strerror(error.errno or 0)})", "Give this user the right to write it and its folder"
        ) from None
    return path


def _add(path: Path, rule_line: str, ledger_account: str) -> None:
    from transforms.seeds import FOLDER

    target = path.resolve() if path.is_symlink() else path
    text = _text(target if target.exists() else FOLDER / "rules.csv")
    (fields,) = csv.reader([rule_line], strict=True)
    ending = "\r\n" if "\r\n" in text else "\n"
    line = io.StringIO()
    csv.writer(line, lineterminator=ending).writerow([*fields[:-1], ledger_account])
    new = f"{text}{'' if text.endswith(ending) else ending}{line.getvalue()}"
    _refuse_what_cannot_be_read(path, new)
    make_folder(target.parent)
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "read-only")  # a rename would not ask
    replace_text(target, new, keep_rights=True)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise WrongUsage(f"{path} is no UTF-8 text", "Save it in UTF-8") from None


def _refuse_what_cannot_be_read(path: Path, text: str) -> None:
    from transforms.errors import SeedUnreadable
    from transforms.seeds import NAMES, read

    with TemporaryDirectory() as folder:
        for seed in (path.with_name(f"{name}.csv") for name in NAMES if name != "rules"):
            if seed.exists():
                shutil.copyfile(seed, Path(folder, seed.name))
        Path(folder, "rules.csv").write_bytes(text.encode())
        try:
            read(Path(folder))
        except SeedUnreadable as error:
            raise WrongUsage(str(error).replace(folder, str(path.parent)).rstrip(". "), f"Correct {path} by hand") from None
