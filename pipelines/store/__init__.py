"""The files of the data directory: the lock, raw history and its copy, the ledger, what others may read."""
