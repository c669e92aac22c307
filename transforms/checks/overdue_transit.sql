-- Money in transit is not marked as overdue after ten days, or it is marked before.
select transaction_id from ledger.in_transit where overdue is distinct from (days > 10) or days < 0
