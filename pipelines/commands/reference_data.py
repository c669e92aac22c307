"""Runs the commands that load reference data: catalog, rates."""

import argparse

from pipelines.commands.cell_change import changing
from pipelines.commands.terminal import console, print_json, settings_of, tell
from pipelines.errors import GOOD, WrongUsage


def catalog(options: argparse.Namespace) -> int:
    """Runs `catalog`: shows the banks; the whole list is also kept in the ledger, in a fleet in that of a named cell."""
    from pipelines.read.options import utc_now
    from pipelines.run.institutions import fetch, keep, show

    settings = settings_of(options)
    institutions = fetch(settings, utc_now, country=options.country, access_mode=options.access_mode)
    outside = settings.fleet.cells and settings.cell is None
    if options.country is None and options.access_mode is None and not outside:
        with changing(settings, "catalog"):
            keep(settings, institutions, utc_now())
    if options.json:
        print_json({"institutions": institutions})
    else:
        show(institutions, console())
    return GOOD


def rates(options: argparse.Namespace) -> int:
    """Runs `rates`."""
    from pipelines.run.rates import fetch, keep

    if (options.file is None) == (options.url is None):
        raise WrongUsage("`rates` reads one file or one address", "Give either --file or --url")
    settings = settings_of(options)
    found = fetch(options.file, options.url)
    with changing(settings, "rates"):
        keep(settings, found)
    days = sorted({str(day) for day in found.column("day").to_pylist()})
    currencies = sorted(set(found.column("currency").to_pylist()))
    if options.json:
        print_json({"rates": found.num_rows, "currencies": currencies, "from": days[0], "to": days[-1]})
    else:
        loaded = f"Loaded {found.num_rows:,} rates of {len(currencies)} currencies, {days[0]} to {days[-1]}."
        tell(options, f"{loaded} `python -m pipelines transform` brings them into the ledger.")
    return GOOD
