"""Renders the page: one HTML file that needs no server, sends no request, and shows what a bank sent as text.

The page is a function of the ledger and of the options. No clock is read: "as of" is the last import's end.
"""

import base64
import hashlib
import os
import re
import sys
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pipelines.report_page import balances, findings, flows, newest, reconciliation, scope, upkeep, wording
from pipelines.report_page.page_options import PageOptions
from pipelines.report_page.plots import BarPlot

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from jinja2 import Environment, FileSystemBytecodeCache

FOLDER = Path(__file__).parent / "templates"


class _Overview(Struct, frozen=True, kw_only=True):
    totals: list[balances.Panel]
    lacks_rates: bool
    accounts: list[balances.Panel]
    currencies: list[flows.CurrencyFlow]
    payments: list[flows.Payment]


class _Month(Struct, frozen=True, kw_only=True):
    calendar: reconciliation.Calendar | None
    states: list[reconciliation.MonthStates]
    categories: list[flows.Part]
    differences: list[reconciliation.Difference]
    transit: list[reconciliation.Transit]
    uncategorised: list[reconciliation.Uncategorised]


class _Upkeep(Struct, frozen=True, kw_only=True):
    consents: list[upkeep.Consent]
    timeline: upkeep.Timeline | None
    runs: list[upkeep.RunRow]
    plot: BarPlot
    about_ledger: upkeep.AboutLedger
    refused: list[upkeep.Refused]


def render(connection: "DuckDBPyConnection", options: PageOptions) -> str:
    """Returns the page of the ledger that `connection` has open. Raises `duckdb.Error` for a file that is none."""
    about = scope.Scope(connection, options)
    as_of = upkeep.published_at(about)
    consents, runs, transit = upkeep.consents(about), upkeep.runs(about), reconciliation.in_transit(about)
    payments, refused = flows.payments(about), upkeep.refused_rows(about)
    transactions, first = about.row(
        f"select count(*), min(coalesce(booked_on, transaction_on)) from transactions semi join {scope.LABELS} using (account_id)"
    )
    totals = balances.total_panels(about)
    style, script = page_asset("page.css"), page_asset("page.js")
    return (
        environment()
        .get_template("page.html")
        .render(
            scope=about,
            options=options,
            as_of=as_of,
            transactions=transactions,
            first=first,
            findings=findings.findings(about, upkeep.problems(about), consents, transit, payments, refused),
            overview=_Overview(
                totals=totals,
                lacks_rates=balances.lacks_rates(about, totals),
                accounts=balances.account_panels(about),
                currencies=flows.currency_flows(about),
                payments=payments,
            ),
            month=_Month(
                calendar=reconciliation.calendar(about),
                states=reconciliation.month_states(about),
                categories=flows.categories_of_month(about),
                differences=reconciliation.differences(about),
                transit=transit,
                uncategorised=reconciliation.uncategorised(about),
            ),
            upkeep=_Upkeep(
                consents=consents,
                timeline=upkeep.timeline(consents, as_of),
                runs=runs,
                plot=upkeep.run_plot(runs),
                about_ledger=upkeep.about_ledger(about),
                refused=refused,
            ),
            newest=newest.newest(about),
            newest_of=newest.shown_of(about, transactions),
            style=style,
            script=script,
            policy=page_policy(style, script),
        )
    )


@cache
def environment() -> "Environment":
    """Returns the templates. Every value is escaped, and a name that a template does not know is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(FOLDER),
        bytecode_cache=_compiled(),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=wording.shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "text": wording.text,
        "money": wording.money,
        "day": wording.day,
        "month": wording.month,
        "moment": wording.moment,
    }
    made.filters |= {"seconds": wording.seconds, "path": _path}
    made.globals |= {
        "count": wording.count,
        "states": scope.STATES,
        "signs": scope.SIGNS,
        "table_rows": balances.table_rows,
        "forecast_days": balances.FORECAST_DAYS,
        "latest_months": flows.LATEST,
        "plot_months": flows.MONTHS,
    }
    return made


def _compiled() -> "FileSystemBytecodeCache | None":
    """Returns where compiled templates are kept, beside those of the interpreter; None where it keeps none.

    To compile them costs as much as all queries of a small ledger.
    """
    from jinja2 import FileSystemBytecodeCache

    folder = Path(cache_from_source(str(FOLDER / "rendering.py"))).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if sys.dont_write_bytecode or not os.access(folder, os.W_OK):
        return None
    return FileSystemBytecodeCache(str(folder))


def page_policy(style: str, script: str) -> str:
    """Returns the content security policy: nothing is loaded or sent, and only these two texts are style and script."""
    hashes = [
        f"{kind} 'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for kind, text in (("style-src", style), ("script-src", script))
    ]
    return our_text("; ".join(["default-src 'none'", *hashes, "base-uri 'none'", "form-action 'none'"]))


def _path(drawn: str) -> str:
    """Returns a path of SVG, which is long, and no text of anybody."""
    if not re.fullmatch(r"[MHVhZ0-9. -]*", drawn):
        raise ValueError("this is no path of a plot")
    return our_text(drawn)


@cache
def page_asset(name: str) -> str:
    """Returns a file of ours as it stands: it is no value, and nothing in it is escaped."""
    return our_text((FOLDER / name).read_text(encoding="utf-8"))


def our_text(text: str) -> str:
    """Marks a text that holds no value of anybody: it is neither cut nor escaped."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704  # see above
