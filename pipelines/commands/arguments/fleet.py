"""Arguments of the commands for a fleet of data directories."""

from datetime import timedelta
from pathlib import Path

from pipelines.commands.arguments.common import Commands, json_option
from pipelines.commands.option_types import at_once, span


def declare(commands: Commands) -> None:
    """Declares `fleet`."""
    actions = commands.below(
        commands.add("fleet", "commands.fleet.usage", "many customers in many data directories (docs/fleet.md)")
    )
    json_option(actions.add("init", "commands.fleet.init", "make the cells that fleet.cells asks for; again after it has grown"))
    run = actions.add("run", "commands.fleet.run", "run the cells that are due, the most urgent first, each in its own process")
    run.add_argument(
        "--due",
        type=span,
        default=timedelta(hours=5),
        metavar="SPAN",
        help="age of an account's last import, e.g. 90m (default 5h)",
    )
    run.add_argument("--at-most", type=at_once, default=8, metavar="N", help="processes at once on this machine (default 8)")
    run.add_argument(
        "--cell",
        action="append",
        default=[],
        metavar="CELL",
        help="run this one only, due or not, also after failed runs; repeatable",
    )
    json_option(run)
    json_option(actions.add("status", "commands.fleet.status", "cells, customers, what is due, at work and failed"))
    json_option(actions.add("publish", "commands.fleet.publish", "put the newest ledgers on this machine into the lake"))
    json_option(
        actions.add(
            "maintain", "commands.fleet.maintain", "merge the lake's files, remove old ones, and what no cell names in the store"
        )
    )
    export = actions.add("export", "commands.fleet.export", "write the newest ledgers as Parquet files, a folder for each cell")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to")
    json_option(export)
    json_option(
        actions.add("check", "commands.fleet.check", "hold vault, store, lake and the ledgers on this machine against each other")
    )
