"""The peers: the same rows by dlt alone, in its two usual ways. No history by version, no checks, no ledger.

    python -m benchmarks.peers rest_api|arrow FOLDER URL EMAIL PASSWORD

`rest_api` is dlt's declarative source: it asks for one page after the other, at every run. `arrow` gives dlt columns: pages are
downloaded as the limit does it, and a later call reads the newest page of each account only.
"""

import sys
from collections.abc import Iterator
from typing import Any

import dlt

from benchmarks.pages import ENVELOPE, Pages


def rest_api(folder: str, url: str, email: str, password: str) -> None:
    """Loads by `dlt.sources.rest_api`."""
    from dlt.sources.rest_api import rest_api_source

    source = rest_api_source(
        {
            "client": {
                "base_url": url,
                "auth": {"type": "bearer", "token": Pages(url, email, password).token},
                "headers": {"Accept": ENVELOPE},
                "paginator": {"type": "json_link", "next_url_path": "next"},
            },
            "resources": [
                {"name": "accounts", "endpoint": {"path": "/api/accounts", "paginator": "single_page"}},
                {
                    "name": "transactions",
                    "primary_key": "id",
                    "write_disposition": "merge",
                    "endpoint": {
                        "path": "/api/accounts/{resources.accounts.id}/transactions?page=1",
                        "data_selector": "results",
                    },
                },
            ],
        }
    )
    _pipeline(folder).run(source)


def arrow(folder: str, url: str, email: str, password: str) -> None:
    """Loads columns, in batches of 50,000 rows."""
    from benchmarks.limit import BATCH, DECODER, table

    pipeline = _pipeline(folder)
    pages, first = Pages(url, email, password), pipeline.first_run

    @dlt.resource(name="transactions", primary_key="id", write_disposition="merge")
    def transactions() -> Iterator[Any]:
        for account in pages.accounts():
            rows = []
            for body in pages.all_of(account) if first else iter([pages.first(account)]):
                rows += DECODER.decode(body).results
                if len(rows) >= BATCH:
                    yield table(rows)
                    rows = []
            yield table(rows)

    pipeline.run(transactions(), loader_file_format="parquet")


def _pipeline(folder: str) -> dlt.Pipeline:
    return dlt.pipeline(
        "peer", pipelines_dir=f"{folder}/dlt", destination=dlt.destinations.duckdb(f"{folder}/rows.duckdb"), dataset_name="peer"
    )


if __name__ == "__main__":
    {"rest_api": rest_api, "arrow": arrow}[sys.argv[1]](*sys.argv[2:])
