"""Reads the values of options strictly: what is not understood ends the command before it does anything."""

import argparse
import re
from datetime import date, timedelta

LONGEST_REASON = 200
"""Characters of a reason for an erasure."""
LONGEST_WAIT = 24
"""Hours between two imports that somebody may ask for: quotas are counted in as many."""
MOST_AT_ONCE = 64
"""Processes of a fleet at once on one machine: the bank lets a client have eight commands at once."""
OLDEST = 366 * 24
"""Hours that an account may be allowed to go unread: more is a slip of the hand."""


def day(text: str) -> date:
    """Returns an option's date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("not a date of the form YYYY-MM-DD") from None


def month(text: str) -> date:
    """Returns the first day of an option's month."""
    try:
        return date.fromisoformat(f"{text}-01" if len(text) == len("YYYY-MM") else "")
    except ValueError:
        raise argparse.ArgumentTypeError("not a month of the form YYYY-MM") from None


def country(text: str) -> str:
    """Reads a country: two letters, small as the bank writes them (observed)."""
    if not re.fullmatch(r"[A-Za-z]{2}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a country: give two letters, e.g. pl")
    return text.lower()


def locale(text: str) -> str:
    """Reads a language, two letters, with or without a country: `en`, `en-GB`."""
    if not re.fullmatch(r"[A-Za-z]{2}([-_][A-Za-z]{2})?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a language: give two letters, e.g. en")
    return text


def count(text: str) -> int:
    """Reads a whole number, not negative."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("not a whole number, 0 or more")
    return int(text)


def reason(text: str) -> str:
    """Reads a reason for an audit trail: one line."""
    if not text.strip() or len(text) > LONGEST_REASON or not text.isprintable():
        raise argparse.ArgumentTypeError(f"not one line of 1 to {LONGEST_REASON} characters")
    return text.strip()


def port(text: str) -> int:
    """Reads a TCP port."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("not a port from 0 (any that is free) to 65535")
    return int(text)


def hours(text: str, most: int = LONGEST_WAIT) -> float:
    """Reads a number of hours, fractions too."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= most:
        raise argparse.ArgumentTypeError(f"not a number of hours from 0 to {most}")
    return found


def age(text: str) -> float:
    """Reads the hours after which data are old."""
    return hours(text, OLDEST)


def span(text: str) -> timedelta:
    """Reads a span of time up to the longest wait between two imports: `90m`, `5h`."""
    found = re.fullmatch(r"([0-9]{1,4})([mh])", text)
    longest = timedelta(hours=LONGEST_WAIT)
    asked = int(found[1]) * {"m": timedelta(minutes=1), "h": timedelta(hours=1)}[found[2]] if found else longest * 2
    if asked > longest:
        raise argparse.ArgumentTypeError(f"not a span of time up to {LONGEST_WAIT}h: give a number and m or h, e.g. 5h")
    return asked


def at_once(text: str) -> int:
    """Reads how many may run at once: 1 or more."""
    if not text.isdecimal() or not 1 <= int(text) <= MOST_AT_ONCE:
        raise argparse.ArgumentTypeError(f"not a whole number from 1 to {MOST_AT_ONCE}")
    return int(text)
