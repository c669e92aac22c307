-- Every leg of an entry of a closed month, as exports wrote it when the month was closed.
-- grain:  account_id, month, kind, entry, is_correction, leg
-- checks: not_null(booked_on, movement_on, ledger_account, amount, currency, is_bank, is_correction)

select
    -- keys
    account_id,
    month,
    kind,
    entry,
    leg,
    -- the entry
    booked_on,
    movement_on,
    is_correction,
    payee,
    narration,
    transfer_id,
    decided_by,
    reversal_of,
    -- the leg
    ledger_account,
    is_bank,
    amount,
    currency
from raw.closings.legs
