"""The orders that Kontist lists: the ones its customers begin with, and those ordered, changed and cancelled since."""

from typing import Any

from ..world.life import next_due, order_cents
from ..world.people import KONTIST_MAIN
from ..world.records import Account
from ..world.values import Dice, german_iban
from ..world.world import World


def standing_orders(world: World, account: Account) -> list[dict[str, Any]]:
    """Returns orders with positive amounts; a cancelled order stays in the list (vendor document)."""
    orders = {order["id"]: order for order in _standing_from_the_start(world, account)}
    orders |= {number: order for (key, number), order in world.standing_orders.items() if key == account.key}
    return list(orders.values())


def timed_orders(world: World, account: Account) -> list[dict[str, Any]]:
    """Returns orders with negative amounts, only those still to come (vendor document)."""
    orders: dict[object, dict[str, Any] | None] = {order["id"]: order for order in _timed_from_the_start(world, account)}
    orders |= {number: order for (key, number), order in world.timed_orders.items() if key == account.key}
    today = f"{world.today}T"
    return [order for order in orders.values() if order is not None and order["date"] > today]


def transfers(world: World, account: Account, kind: str) -> list[dict[str, Any]]:
    """Returns the transfers of one kind, also those of long ago, newest first (live service)."""
    return [one for key, one in reversed(world.transfers) if key == account.key and one["type"] == kind]


def _standing_from_the_start(world: World, account: Account) -> list[dict[str, Any]]:
    if account.iban != KONTIST_MAIN:
        return []
    today = world.clock.day()
    orders: list[dict[str, Any]] = [
        {
            "id": 20,
            "status": "CANCELED",
            "iban": german_iban(107),
            "name": "Fitness Beispiel GmbH",
            "description": "Mitgliedschaft",
            "amount": 3990,
            "lastExecutionDate": "2025-03-31T20:11:02.109+00:00",
            "e2eId": "123456789",
            "reoccurrence": "QUARTERLY",
            "nextOccurrence": "2025-04-01T00:00:00.000+00:00",
        }
    ]
    standing = [habit for habit in account.plan.habits if habit.order == "standing"]
    for number, habit in enumerate(standing, 6):
        following = next_due(habit, today)
        orders.append(
            {
                "id": number,
                "status": "ACTIVE",
                "iban": habit.party_iban,
                "name": habit.party,
                "description": (habit.description or "").partition(" {")[0],
                "amount": order_cents(world.seed, habit, following),
                "lastExecutionDate": None,
                "e2eId": f"E-standing-{number}",
                "reoccurrence": "MONTHLY",
                "nextOccurrence": f"{following}T00:00:00.000+00:00",
            }
        )
    return orders


def _timed_from_the_start(world: World, account: Account) -> list[dict[str, Any]]:
    """Returns two months of each timed order."""
    found: list[dict[str, Any]] = []
    for habit in account.plan.habits:
        if habit.order != "timed":
            continue
        day = world.clock.day()
        for _ in range(2):
            day = next_due(habit, day)
            dice = Dice("timed", habit.key, day.toordinal())
            found.append(
                {
                    "id": _uuid(dice),
                    "recipientName": habit.party,
                    "recipientIban": habit.party_iban,
                    "date": f"{day}T12:00:00.000Z",
                    "purpose": (habit.description or "").replace("{month}", f"{day:%m/%Y}"),
                    "amount": -order_cents(world.seed, habit, day),
                    "e2eId": f"E-timed-{day:%Y%m}",
                    "status": "scheduled",
                    "type": "TIMED_ORDER",
                }
            )
    return found


def _uuid(dice: Dice) -> str:
    digits = f"{dice.below(2**128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
