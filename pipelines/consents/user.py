"""Names the user of the operating system, for the audit trail and for leases."""

import getpass
import os


def user() -> str:
    """Returns the user's name, else the number."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"
