-- A correction of a closed month does not sum to zero, or closed entries and corrections together are not what the ledger has of the closed days.
with

through as (select account_id, max(last_day) as closed_through from ledger.closings group by account_id),

booked as (
    select account_id, ledger_account, currency, amount from ledger.closed_postings
    union all
    select account_id, ledger_account, currency, amount from ledger.corrections
),

shown as (
    select postings.account_id, ledger_account, postings.currency, amount
    from ledger.postings
    inner join through on through.account_id = postings.account_id and booked_on <= closed_through
    union all
    select entries.account_id, unnest([ledger_account, other_ledger_account]), currency, unnest([amount, -amount])
    from ledger.balance_entries as entries
    inner join through on through.account_id = entries.account_id and booked_on <= closed_through
),

sums as (
    select account_id, ledger_account, currency, amount from booked
    union all
    select account_id, ledger_account, currency, -amount from shown
)

select account_id, ledger_account, currency from sums group by all having sum(amount) <> 0
union all
select account_id, entry, currency from ledger.corrections group by account_id, kind, entry, currency having sum(amount) <> 0
