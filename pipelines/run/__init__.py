"""One run, step by step, and what it reports."""
