"""Arguments of the commands that connect banks and keep consents."""

import argparse

from pipelines.commands.arguments.common import SOURCES, Commands, json_option, start_new_option
from pipelines.commands.option_types import count, country, day, locale, reason


def declare(commands: Commands) -> None:
    """Declares `connect`, `disconnect`, `consents`."""
    connect = commands.add("connect", "commands.consents.connect", "connect a bank and import at once; kontist: log in once")
    connect.add_argument("source", choices=SOURCES)
    connect.add_argument("--email", help="for kontist by REST; the password is asked for or piped in, and not kept")
    connect.add_argument("--target", metavar="T", help="the bank, as the catalog names it")
    connect.add_argument("--access-mode", choices=("SINGLE", "MULTIPLE", "MIXED"), default="MULTIPLE")
    connect.add_argument(
        "--since", type=day, metavar="DATE", help="for kontomatik: first day to import (default: all that the bank shows)"
    )
    connect.add_argument("--mock", action="store_true", help="use a mock session at Kontomatik's test bank")
    connect.add_argument("--login", metavar="L", help="with --mock: the test customer (default test1; live dialect)")
    connect.add_argument("--customer", metavar="K", help="in a fleet: your own id of the customer, who stays in one cell")
    start_new_option(connect)
    _signing_in(connect)
    json_option(connect)

    disconnect = commands.add("disconnect", "commands.login.disconnect", "end the login at Kontist")
    disconnect.add_argument("source", choices=("kontist",))
    json_option(disconnect)

    consents = commands.add("consents", "commands.consents.show_list", "list consents, add, renew, revoke or erase one")
    actions = commands.below(consents)
    json_option(consents)
    listed = actions.add("list", "commands.consents.show_list", "every consent with its days left (no token, ever)")
    listed.add_argument("--customer", metavar="K", help="in a fleet: this customer's consents, and the cell")
    json_option(listed)
    add = actions.add("add", "commands.consents.add", "store a consent whose token is on standard input")
    add.add_argument("source", choices=SOURCES, help="for kontist the token is a refresh token")
    add.add_argument("--institution", help="for kontomatik: the bank's name (default: from the first import)")
    add.add_argument("--target", help="the bank's target name, if known")
    add.add_argument("--access-mode", choices=("MULTIPLE", "MIXED"), default="MULTIPLE")
    add.add_argument("--signed-in", type=day, metavar="DATE", help="day of the sign-in, the first of 180 days (default today)")
    add.add_argument("--customer", metavar="K", help="in a fleet: your own id of the customer")
    renew = actions.add("renew", "commands.consents.renew", "sign in again; the old consent works until the new one does")
    renew.add_argument("consent_id", metavar="ID")
    renew.add_argument("--target", metavar="T", help="the bank's target, if it has changed")
    _signing_in(renew)
    json_option(renew)
    for name, about in (
        ("revoke", "end a consent at the bank; done when the bank has confirmed it"),
        ("erase", "revoke a consent, then remove for good the data that only it brought; writes a receipt"),
    ):
        one = actions.add(name, f"commands.consents.{name}", about)
        one.add_argument("consent_id", metavar="ID")
        json_option(one)
        if name == "erase":
            one.add_argument("--yes", action="store_true", help="do not ask; without a terminal it has to be given")
            one.add_argument("--reason", type=reason, metavar="TEXT", help="why, for receipt and audit trail; name no customer")
            one.add_argument("--cancel", action="store_true", help="withdraw a pending erasure")
    json_option(actions.add("tend", "commands.consents.maintain", "warn, expire, finish revocations and erasures"))
    actions.add(
        "rotate-key", "commands.consents.rotate_key", "re-encrypt the vault with a new key (pipelines.vault_key = NEW,OLD)"
    )
    trail = actions.add("trail", "commands.consents.trail", "who did what to a consent, when, and with what result")
    trail.add_argument("consent_id", metavar="ID", nargs="?")
    json_option(trail)


def _signing_in(command: argparse.ArgumentParser) -> None:
    command.add_argument("--owner-external-id", metavar="X", help="your own name for the customer")
    command.add_argument("--redirect-url", metavar="U", help="where the bank sends the customer afterwards")
    command.add_argument(
        "--country", type=country, metavar="CC", help="country of the banks to choose from, e.g. pl (live dialect)"
    )
    command.add_argument("--locale", type=locale, metavar="LL", help="language of the sign-in page (default en; live dialect)")
    command.add_argument("--open", action="store_true", help="open the bank's link in a browser")
    command.add_argument(
        "--wait", type=count, default=600, metavar="SECONDS", help="how long to wait for the sign-in (default 600)"
    )
