"""The losses that can be seen without changing anything."""

from typing import TYPE_CHECKING

from pipelines.errors import Failure
from pipelines.store.losses import HistoryLost, missing_ledger, missing_raw, missing_vault, other_ledger, other_vault, swapped

if TYPE_CHECKING:
    from pipelines.settings import Settings


def found(settings: "Settings") -> list[HistoryLost]:
    """Returns every loss that can be seen without changing anything, for commands that only look."""
    if settings.fleet.cells and settings.cell is None:  # each cell has its own, and this directory none
        return []
    data_dir = settings.data_dir
    losses = [missing_raw(data_dir), missing_vault(settings), missing_ledger(data_dir), swapped(data_dir), other_ledger(data_dir)]
    if settings.vault_url is not None or (data_dir / "vault.sqlite").exists():
        from pipelines.consents.clients import vault_of

        try:
            with vault_of(settings) as vault:
                losses[0] = missing_raw(data_dir, vault)
                losses.append(other_vault(data_dir, vault))
        except HistoryLost as loss:
            losses[1] = loss
        except Failure:  # whoever needs a vault reports one that cannot be opened
            pass
    return [loss for loss in losses if loss is not None]
