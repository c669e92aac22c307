"""`make bench`."""

from benchmarks import kills, ledger, runs

if __name__ == "__main__":  # the measuring processes import this file too
    runs.main()
    ledger.main()
    kills.main()
