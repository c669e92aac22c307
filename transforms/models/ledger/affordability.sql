-- One row per holder and currency: income, fixed costs, instalments, balances and proof, as of the ledger's last complete day. Nothing is advice.
-- grain:  holder_id, currency
-- checks: not_null(as_of, lately_from, owner_ids, account_ids, days_expected, days_proven)

with

dates    as (select * from intermediate.int_affordability_days),

owners as (select account_id, list(owner_id order by owner_id) as owner_ids from ledger.account_owners group by account_id),

-- All owners of an account together are its holder, so money of a shared account counts once. Where the bank names nobody, the account is
accounts as (
    select
        accounts.account_id,
        coalesce(array_to_string(owners.owner_ids, '+'), accounts.account_id) as holder_id,
        coalesce(owners.owner_ids, cast([] as varchar[]))           as owner_ids,
        accounts.account_type,
        accounts.currency,
        accounts.first_booked_on,
        cast(accounts.gone_at as date)                              as gone_on
    from intermediate.int_accounts as accounts
    left join owners using (account_id)
    cross join dates
    where accounts.gone_at is null or gone_on >= dates.lately_from
),

payments as (
    select
        accounts.holder_id,
        payments.*,
        payments.booked_on >= dates.lately_from                     as is_late,
        case
            when payments.booked_on >= dates.this_month then 0
            when payments.booked_on >= dates.last_month then 1
            when payments.booked_on >= dates.month_before then 2
        end                                                         as months_ago,
        figure in ('salary', 'pension', 'benefits')                 as is_regular,
        is_regular or figure = 'other_income'                       as is_income,
        figure in ('rent', 'utilities', 'insurance', 'subscription') as is_fixed,
        is_fixed or figure in ('loan_instalment', 'gambling', 'cash', 'tax', 'other_spending') as is_spending
    from ledger.affordability_payments as payments
    inner join accounts using (account_id)
    cross join dates
),

-- A holder with a payment in a currency of no account has no balance in it
holders as (
    select
        holder_id,
        currency,
        any_value(owner_ids)                                        as owner_ids,
        list(distinct account_id order by account_id)               as account_ids
    from (
        select holder_id, currency, owner_ids, account_id from accounts where currency is not null
        union all
        select payments.holder_id, payments.currency, accounts.owner_ids, account_id from payments inner join accounts using (account_id)
    )
    group by holder_id, currency
),

sums as (
    select
        holder_id,
        currency,
        sum(amount) filter (where is_income and months_ago = 0)     as income_this_month,
        sum(amount) filter (where is_income and months_ago = 0 and not is_proven) as unproven_income_this_month,
        sum(amount) filter (where is_income and months_ago = 1)     as income_last_month,
        sum(amount) filter (where is_income and months_ago = 1 and not is_proven) as unproven_income_last_month,
        sum(amount) filter (where is_income and months_ago = 2)     as income_month_before,
        sum(amount) filter (where is_income and months_ago = 2 and not is_proven) as unproven_income_month_before,
        sum(amount) filter (where is_income and is_late)            as income,
        sum(amount) filter (where is_income and is_late and not is_proven) as unproven_income,
        sum(amount) filter (where figure = 'rent' and is_late)      as rent,
        sum(amount) filter (where figure = 'utilities' and is_late) as utilities,
        sum(amount) filter (where figure = 'insurance' and is_late) as insurance,
        sum(amount) filter (where figure = 'subscription' and is_late) as subscriptions,
        sum(amount) filter (where is_fixed and is_late)             as fixed_costs,
        sum(amount) filter (where is_fixed and is_late and not is_proven) as unproven_fixed_costs,
        sum(amount) filter (where figure = 'loan_instalment' and is_late) as loan_instalments,
        sum(amount) filter (where figure = 'loan_instalment' and is_late and not is_proven) as unproven_loan_instalments,
        sum(amount) filter (where is_spending and is_late)          as spending,
        sum(amount) filter (where is_spending and is_late and not is_proven) as unproven_spending,
        sum(amount) filter (where figure = 'gambling' and is_late)  as gambling,
        sum(amount) filter (where figure = 'cash' and is_late)      as cash,
        count(*) filter (where figure = 'returned_debit' and is_late) as returned_debits,
        sum(amount) filter (where figure = 'returned_debit' and is_late) as returned_debits_amount
    from payments
    group by holder_id, currency
),

-- Whole months only: the month in which the first known day lies may lack days
first_months as (
    select
        accounts.holder_id,
        accounts.currency,
        greatest(
            any_value(dates.regular_from),
            cast(date_trunc('month', min(proofs.day) - 1) + interval 1 month as date)
        )                                                           as first_month,
        any_value(dates.this_month)                                 as this_month,
        greatest(0, date_diff('month', first_month, any_value(dates.this_month))) as months
    from accounts
    inner join intermediate.int_day_reconciliation as proofs using (account_id)
    cross join dates
    group by accounts.holder_id, accounts.currency
),

regular as (
    select
        payments.holder_id,
        payments.currency,
        sum(payments.amount)                                        as amount,
        sum(payments.amount) filter (where not payments.is_proven)  as unproven_amount,
        count(distinct date_trunc('month', payments.booked_on))     as months
    from payments
    inner join first_months using (holder_id, currency)
    where payments.is_regular and payments.booked_on >= first_months.first_month and payments.booked_on < first_months.this_month
    group by payments.holder_id, payments.currency
),

-- A card's balance is a debt that is meant. A day on which one balance is not known has no sum, so it begins with the last account
account_days as (
    select
        account_id,
        holder_id,
        currency,
        cast(unnest(generate_series(
            cast(dates.lately_from as timestamp), cast(dates.as_of as timestamp), interval 1 day
        )) as date)                                                 as day,
        gone_on
    from accounts
    cross join dates
    where account_type = 'account' and first_booked_on <= dates.as_of
),

balances as (
    select
        account_days.holder_id,
        account_days.currency,
        account_days.day,
        case when count(balances.closing_balance) = count(*) then sum(balances.closing_balance) end as balance,
        coalesce(min(balances.closing_balance) < 0, false)          as is_below_zero
    from account_days
    left join ledger.balances_daily as balances using (account_id, day)
    where account_days.gone_on is null or account_days.day < account_days.gone_on
    group by account_days.holder_id, account_days.currency, account_days.day
),

average_balances as (
    select
        holder_id,
        currency,
        count(balance)                                              as balance_days,
        in_proportion(in_cents(sum(balance)), 1, nullif(count(balance), 0)) as average_balance,
        in_cents(min(balance))                                      as minimum_balance,
        count(*) filter (where is_below_zero)                       as days_below_zero
    from balances
    group by holder_id, currency
),

-- Days before the first movement are expected, too: as `prove` counts them
proven as (
    select
        accounts.holder_id,
        accounts.currency,
        90 * count(distinct accounts.account_id)                    as days_expected,
        count(proofs.day)                                           as days_proven
    from accounts
    cross join dates
    left join intermediate.int_day_reconciliation as proofs
        on proofs.account_id = accounts.account_id and proofs.day between dates.lately_from and dates.as_of
        and proofs.proof in ('chain', 'reported')
    group by accounts.holder_id, accounts.currency
),

final as (
    select
        holders.holder_id,
        holders.currency,
        dates.as_of,
        dates.lately_from,
        holders.owner_ids,
        holders.account_ids,
        in_cents(coalesce(sums.income_this_month, 0))               as income_this_month,
        in_cents(coalesce(sums.unproven_income_this_month, 0))      as unproven_income_this_month,
        in_cents(coalesce(sums.income_last_month, 0))               as income_last_month,
        in_cents(coalesce(sums.unproven_income_last_month, 0))      as unproven_income_last_month,
        in_cents(coalesce(sums.income_month_before, 0))             as income_month_before,
        in_cents(coalesce(sums.unproven_income_month_before, 0))    as unproven_income_month_before,
        in_cents(coalesce(sums.income, 0))                          as income,
        in_cents(coalesce(sums.unproven_income, 0))                 as unproven_income,
        in_proportion(in_cents(coalesce(sums.income, 0)), 1, 3)     as income_30_days,
        in_proportion(in_cents(coalesce(regular.amount, 0)), 1, nullif(first_months.months, 0)) as regular_income,
        in_proportion(in_cents(coalesce(regular.unproven_amount, 0)), 1, nullif(first_months.months, 0)) as unproven_regular_income,
        coalesce(regular.months, 0)                                 as regular_months,
        coalesce(first_months.months, 0)                            as whole_months,
        in_cents(coalesce(sums.rent, 0))                            as rent,
        in_cents(coalesce(sums.utilities, 0))                       as utilities,
        in_cents(coalesce(sums.insurance, 0))                       as insurance,
        in_cents(coalesce(sums.subscriptions, 0))                   as subscriptions,
        in_cents(coalesce(sums.fixed_costs, 0))                     as fixed_costs,
        in_cents(coalesce(sums.unproven_fixed_costs, 0))            as unproven_fixed_costs,
        in_cents(coalesce(sums.loan_instalments, 0))                as loan_instalments,
        in_cents(coalesce(sums.unproven_loan_instalments, 0))       as unproven_loan_instalments,
        in_cents(coalesce(sums.spending, 0))                        as spending,
        in_cents(coalesce(sums.unproven_spending, 0))               as unproven_spending,
        in_cents(coalesce(sums.gambling, 0))                        as gambling,
        in_share(coalesce(sums.gambling, 0), sums.spending)         as gambling_share,
        in_cents(coalesce(sums.cash, 0))                            as cash,
        in_share(coalesce(sums.cash, 0), sums.spending)             as cash_share,
        coalesce(sums.returned_debits, 0)                           as returned_debits,
        in_cents(coalesce(sums.returned_debits_amount, 0))          as returned_debits_amount,
        average_balances.average_balance,
        average_balances.minimum_balance,
        coalesce(average_balances.balance_days, 0)                  as balance_days,
        coalesce(average_balances.days_below_zero, 0)               as days_below_zero,
        coalesce(proven.days_expected, 0)                           as days_expected,
        coalesce(proven.days_proven, 0)                             as days_proven,
        in_share(proven.days_proven, proven.days_expected)          as proven_share
    from holders
    cross join dates
    left join sums using (holder_id, currency)
    left join first_months using (holder_id, currency)
    left join regular using (holder_id, currency)
    left join average_balances using (holder_id, currency)
    left join proven using (holder_id, currency)
)

select * from final
order by holder_id, currency
