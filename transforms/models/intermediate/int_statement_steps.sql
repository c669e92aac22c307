-- One row per account and stretch of days between two balances that imported statements, or a statement and the bank, give.
-- grain:  account_id, nth
-- checks: not_null(since, day, difference_amount)

with

statements    as (select account_id, day, balance, place from intermediate.int_statement_balances),
movements     as (select * from intermediate.int_booked_days semi join statements using (account_id)),
balances      as (select * from intermediate.int_balance_days semi join statements using (account_id)),
file_accounts as (select * from intermediate.int_file_accounts),

moved as (
    select account_id, day, sum(money_in + money_out) over (partition by account_id order by day) as so_far
    from movements
),

one_currency as (
    select account_id from statements
    except
    select account_id from movements where in_other_currencies > 0
),

links as (
    select account_id, day, balance, place, false as is_bank from statements
    union all
    select account_id, balance_on as day, balance, 2 as place, true as is_bank from balances
),

points as (
    select links.*, coalesce(moved.so_far, 0) as so_far
    from links
    semi join one_currency using (account_id)
    asof left join moved on moved.account_id = links.account_id and moved.day <= links.day
),

steps as (
    select
        *,
        row_number() over dates                                     as nth,
        lag(day) over dates                                         as since,
        lag(is_bank) over dates                                     as from_bank,
        cast(balance - lag(balance) over dates - (so_far - lag(so_far) over dates) as decimal(18, 2)) as difference_amount
    from points
    window dates as (partition by account_id order by day, place)
),

final as (
    select
        steps.account_id,
        steps.nth,
        steps.since,
        -- what nobody has read lies before the first day that the bank shows
        case
            when steps.is_bank and file_accounts.first_bank_on > steps.since then least(file_accounts.first_bank_on, steps.day)
            else steps.day
        end                                                         as day,
        steps.day                                                   as until_on,
        steps.is_bank or steps.from_bank                            as with_bank,
        steps.difference_amount
    from steps
    inner join file_accounts using (account_id)
    where steps.since is not null
)

select * from final
