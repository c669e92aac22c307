"""How long tests wait before they say that something takes too long."""

import os

FACTOR = float(os.environ.get("KONTOLEDGER_PATIENCE", "1"))
"""Raised where the machine is slow: every wall-clock limit of the tests is so many times longer."""


def patient(seconds: float) -> float:
    """Returns a time limit as this machine needs it."""
    return seconds * FACTOR
