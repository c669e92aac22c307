"""One HTML page to look at: drawn from a published ledger, and from nothing else."""
