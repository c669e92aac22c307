"""Raw history without dlt and no ledger: rows go in as they are. For tests of everything that happens around that."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

import pipelines.store.ledger as ledgers
import pipelines.store.load as loads


def load(history: Any, package: Any) -> None:
    """In place of `pipelines.store.load.load`: no versions are kept, nothing is retired."""
    connection = history.connection
    for name, batches in package.batches.items():
        for batch in list(batches()):
            connection.register("batch", pa.Table.from_batches([batch]))
            connection.execute(f"insert into {package.dataset}.{name} by name select * from batch")
    table = f"{package.dataset}.cursors"
    connection.execute(f"create or replace table {table} as select ? as said", [json.dumps(package.cursors)])


def cursors(history: Any, dataset: str) -> dict[str, Any]:
    """In place of `pipelines.store.load.cursors`."""
    with contextlib.suppress(Exception):
        return dict(json.loads(history.connection.execute(f"select said from {dataset}.cursors").fetchone()[0]))
    return {}


def published(data_dir: Path, *_: Any, **__: Any) -> ledgers.Published:
    """In place of `pipelines.store.ledger.build_and_publish`."""
    return ledgers.Published(data_dir / "no ledger", {}, [], 0.0)


INSTEAD = ((loads, "load", load), (loads, "cursors", cursors), (ledgers, "build_and_publish", published))
