"""How accounts are named to people: by the end of their number, as long as it must be to be unique.

A bank may give a name in place of a number. A name has no digits, and is not cut inside of a word.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

SHORTEST, STEP, LONGEST = 4, 2, 10
"""Characters of a number's end. Never more than half of an IBAN."""
WORD, NAME = 30, 60
"""Characters of a name's last word at most, and of a whole name."""


@dataclass(frozen=True)
class Named:
    """What an account can be named by."""

    account_id: str
    number: str | None
    account_type: str | None
    currency: str | None

    @property
    def kind(self) -> str:
        """Returns `card` or `account`: a card repeats the number of its account."""
        return "card" if self.account_type == "card" else "account"


def endings(accounts: Iterable[Named]) -> dict[str, str]:
    """Returns by account id `…1234`: longer where another number ends so, currency or start of the id for one number."""
    listed = list(accounts)
    numbers = {one.number for one in listed if one.number}
    shown = {one.account_id: _shown(one.number, numbers) if one.number else "" for one in listed}
    for tell_apart in (_with_currency, _with_id):
        common = Counter((one.kind, shown[one.account_id]) for one in listed)
        shown |= {
            one.account_id: tell_apart(one, shown[one.account_id])
            for one in listed
            if common[one.kind, shown[one.account_id]] > 1 or not shown[one.account_id]
        }
    return shown


def _shown(number: str, numbers: set[str]) -> str:
    if any(sign.isdecimal() for sign in number) or not number.split():
        return _ending(_compact(number), {_compact(one) for one in numbers})
    word = number.split()[-1][-WORD:]
    alone = not any(other.split()[-1:] == [word] for other in numbers - {number})
    return f"…{word if alone else ' '.join(number.split())[-NAME:]}"


def _compact(number: str) -> str:
    return "".join(number.split())


def _ending(number: str, numbers: set[str]) -> str:
    others = numbers - {number}
    for length in range(SHORTEST, LONGEST + 1, STEP):
        if not any(other.endswith(number[-length:]) for other in others):
            return f"…{number[-length:]}"
    return f"{number[:4]}…{number[-4:]}"  # the check digits of an IBAN


def _with_currency(one: Named, shown: str) -> str:
    return f"{shown} {one.currency}" if shown and one.currency else shown


def _with_id(one: Named, shown: str) -> str:
    start = one.account_id.partition(":")[2][:6] or one.account_id
    return f"{shown} ({start})" if shown else start
