-- Money in transit is not called overdue after ten days, or is before.
select transaction_id from ledger.in_transit where overdue is distinct from (days > 10) or days < 0
