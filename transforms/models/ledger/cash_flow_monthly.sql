-- One row per account, month, category (account of the ledger) and currency: the money that came in and went out.
-- grain:  account_id, month, ledger_account, currency
-- checks: not_null(money_in, money_out, net_amount, transactions), relationship(account_id, accounts),
--         relationship(ledger_account, ledger_accounts), joins(month, calendar.day)

with

-- A tax that the buyer owes and deducts at once moves no money
owed     as (select distinct vat_code from intermediate.int_vat_codes where is_on_top),

postings as (select * from ledger.postings where leg >= 2 and (leg < 1000 or vat_code not in (select vat_code from owed))),

-- A divided movement counts once on each account that it is divided to
divided as (
    select
        account_id,
        cast(date_trunc('month', booked_on) as date)                as month,
        ledger_account,
        currency,
        count(distinct transaction_id)                              as transactions
    from postings
    where leg > 4 and leg <> 1002
    group by all
),

sums as (
    select
        account_id,
        cast(date_trunc('month', booked_on) as date)                as month,
        ledger_account,
        currency,
        cast(coalesce(sum(-amount) filter (where amount < 0), 0) as decimal(18, 2)) as money_in,
        cast(coalesce(sum(-amount) filter (where amount > 0), 0) as decimal(18, 2)) as money_out,
        cast(sum(-amount) as decimal(18, 2))                        as net_amount,
        -- one rate missing, and the sum would be too small without saying so; null, too, where the sum is too large
        case when count(reporting_amount) = count(*) then in_cents(sum(-reporting_amount)) end as reporting_amount,
        reporting_currency,
        count(*) filter (where leg in (2, 1002))                         as transactions
    from postings
    group by account_id, month, ledger_account, currency, reporting_currency
),

final as (
    select sums.* replace (sums.transactions + coalesce(divided.transactions, 0) as transactions)
    from sums
    left join divided using (account_id, month, ledger_account, currency)
)

select * from final
order by account_id, month, ledger_account, currency
