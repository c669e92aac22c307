"""Finds the cell that a command means by a customer or a consent. Without a fleet that is the settings' data directory."""

import argparse
from typing import TYPE_CHECKING

from pipelines.errors import WrongUsage
from pipelines.store.banks import bank_named

if TYPE_CHECKING:
    from pipelines.settings import Settings


def of_customer(options: argparse.Namespace, settings: "Settings") -> "Settings":
    """Returns the settings of the customer's cell, in a fleet. Raises `WrongUsage` for a customer where there is no fleet."""
    if options.customer is not None:
        _refuse_without_fleet(settings)
    if not settings.fleet.cells:
        return settings
    from pipelines.fleet import cells

    if options.customer is None:
        raise WrongUsage("In a fleet a consent belongs to a customer, and none is named", "Give --customer")
    if not bank_named(options.source).by_consent:
        raise WrongUsage(f"A fleet does not read {bank_named(options.source).title}", "Keep it in an installation of its own")
    return cells.of_customer(settings, options.customer)


def _refuse_without_fleet(settings: "Settings") -> None:
    if not settings.fleet.cells:
        raise WrongUsage("--customer is for a fleet, and fleet.cells is 0", "Leave it out, or set fleet.cells")


def of_consent(settings: "Settings", consent_id: str) -> "Settings":
    """Returns the settings of the consent's cell, in a fleet."""
    if not settings.fleet.cells:
        return settings
    from pipelines.fleet import cells

    return cells.of_consent(settings, consent_id)


def consents_of(settings: "Settings", customer: str) -> "tuple[Settings, frozenset[str]]":
    """Returns the settings of the customer's cell, and the customer's consents. Raises `WrongUsage` for an unknown customer."""
    _refuse_without_fleet(settings)
    from pipelines.fleet import cells

    return cells.consents_of(settings, customer)
