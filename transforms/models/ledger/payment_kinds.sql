-- One row per booked transaction whose kind is known, or that is one payment of a recurring one.
-- grain:  transaction_id
-- checks: joins(transaction_id, transactions), joins(recurring_id, recurring)

with

kinds as (select * from intermediate.int_payment_kinds),
hits  as (select transaction_id, recurring_id from intermediate.int_recurring_hits),

final as (
    select transaction_id, kinds.payment_kind, kinds.evidence, hits.recurring_id
    from kinds
    full outer join hits using (transaction_id)
)

select * from final
order by transaction_id
