"""A bank to try things on: Kontomatik and Kontist on one loopback port, serving a world that knows the truth.

    from sources.sandbox import World, running

    world = World(seed=7)
    with running(world, dialect="live") as bank:
        ...                       # Kontomatik at f"{bank.url}/v1", Kontist at bank.url
        world.append("4711", amount="-12.50")
        world.totals()            # what a ledger of it must hold, to the cent

It shares no code with the programs that read banks: what it says, it says from the vendors' documents and from what
was observed, so that it can bear witness against them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .bank import SandboxBank
from .server import running, serve_forever
from .world.records import Account, Totals, Transaction
from .world.world import Clock, Dialect, World

if TYPE_CHECKING:
    from .bank import Fault
    from .faults import (
        CommandFails,
        CommandNeverEnds,
        DropsConnection,
        EmptyAnswer,
        HtmlInsteadOfJson,
        PartialDueToTimeout,
        Refuses,
        ServerError,
        SlowAnswer,
        TooManyRequests,
        UnknownCommandState,
    )
    from .query_faults import CursorLoop, FractionOfACent, LostEnd, QueryError, ReversedPage
    from .spoilers import (
        BadRow,
        BrokenXml,
        ExternalEntity,
        LegacyRows,
        NextLoop,
        NextToForeignHost,
        OutOfOrderPage,
        PageShift,
        RepeatedRow,
        TokenExpires,
        TotalChanges,
        TruncatedBody,
        UnknownField,
        XmlBomb,
    )
else:

    def __getattr__(name: str) -> object:
        """Faults are for tests; who only runs the bank does not wait for them to be imported."""
        for module in ("faults", "spoilers", "query_faults") if name in __all__ else ():
            found = getattr(import_module(f".{module}", __name__), name, None)
            if found is not None:
                return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Account",
    "BadRow",
    "BrokenXml",
    "Clock",
    "CommandFails",
    "CommandNeverEnds",
    "CursorLoop",
    "Dialect",
    "DropsConnection",
    "EmptyAnswer",
    "ExternalEntity",
    "Fault",
    "FractionOfACent",
    "HtmlInsteadOfJson",
    "LegacyRows",
    "LostEnd",
    "NextLoop",
    "NextToForeignHost",
    "OutOfOrderPage",
    "PageShift",
    "PartialDueToTimeout",
    "QueryError",
    "Refuses",
    "RepeatedRow",
    "ReversedPage",
    "SandboxBank",
    "ServerError",
    "SlowAnswer",
    "TokenExpires",
    "TooManyRequests",
    "TotalChanges",
    "Totals",
    "Transaction",
    "TruncatedBody",
    "UnknownCommandState",
    "UnknownField",
    "World",
    "XmlBomb",
    "running",
    "serve_forever",
]
