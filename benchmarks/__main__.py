"""`make bench`."""

from benchmarks import runs

runs.main()
