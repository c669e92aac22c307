-- One row per booked transaction whose kind is known, with the rule that says so.
-- grain:  transaction_id
-- checks: not_null(payment_kind, evidence), joins(transaction_id, transactions)

with

final as (
    select transaction_id, payment_kind, evidence
    from intermediate.int_payment_kinds
)

select * from final
order by transaction_id
