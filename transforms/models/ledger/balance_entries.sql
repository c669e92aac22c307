-- One row per entry of the journal that is no transaction: the balance that an account opens with, and each amount that its bank moved beyond the known movements.
-- grain:  account_id, kind, entry
-- checks: not_null(booked_on, ledger_account, other_ledger_account, amount), accepted(kind, 'opening', 'difference'),
--         relationship(account_id, accounts)

with

accounts as (select * from ledger.accounts),
balances as (select * from ledger.balances_daily),
coverage as (select * from ledger.coverage),

openings as (
    select
        accounts.account_id,
        'opening'                                                   as kind,
        'opening'                                                   as entry,
        min(balances.day) - 1                                       as booked_on,
        accounts.ledger_account,
        'Equity:Opening-Balances'                                   as other_ledger_account,
        min_by(balances.opening_balance, balances.day)              as amount,
        accounts.currency,
        cast(null as date)                                          as differs_since
    from accounts
    inner join balances using (account_id)
    where balances.opening_balance is not null
    group by accounts.account_id, accounts.ledger_account, accounts.currency
),

differences as (
    select
        coverage.account_id,
        'difference'                                                as kind,
        cast(coverage.day as varchar)                               as entry,
        coverage.day                                                as booked_on,
        accounts.ledger_account,
        'Equity:Differences'                                        as other_ledger_account,
        coverage.difference_amount                                  as amount,
        accounts.currency,
        coverage.differs_since
    from coverage
    inner join accounts using (account_id)
    inner join balances using (account_id, day)
    where coverage.difference_amount <> 0 and balances.closing_balance is not null
),

final as (
    select * from openings
    union all
    select * from differences
)

select * from final
order by account_id, kind, entry
