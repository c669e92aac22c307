-- One row per account whose bank gives a balance: that balance, and the last day whose movements it includes.
-- grain:  account_id
-- checks: not_null(balance_on, balance)

with

accounts  as (select * from intermediate.int_accounts),
ends      as (select * from intermediate.int_running_balance_ends),
movements as (select account_id, day, money_in + money_out as amount, amount_of_files from intermediate.int_booked_days),
stated    as (select account_id, max(day) as day from intermediate.int_statement_balances group by account_id),
at_once   as (select distinct account_id from intermediate.int_reported_balance_steps where at_once),

-- A row that is dated ahead is money of its own day: the balance of today does not hold it
read as (
    select
        account_id,
        balance,
        -- an account of files has the balance of its last statement
        case when source = 'file' then stated.day else coalesce(last_imported_on, last_booked_on) end as read_on,
        last_booked_on
    from accounts
    left join stated using (account_id)
),

last_running as (select account_id, max(day) as day, max_by(balance, day) as balance from ends group by account_id),

-- Some banks count such rows at once: then the balance is the one behind the last running balance, and not the one of today
last_running_when_read as (
    select read.account_id, ends.day, ends.balance
    from read
    asof inner join ends on ends.account_id = read.account_id and ends.day <= read.read_on
),

moved_later as (
    select
        movements.account_id,
        sum(amount) filter (where movements.day > last_running.day) as since_the_last,
        sum(amount) filter (where movements.day > today.day and movements.day <= read.read_on) as until_read
    from movements
    inner join read using (account_id)
    left join last_running using (account_id)
    left join last_running_when_read as today using (account_id)
    group by movements.account_id
),

dated as (
    select
        read.account_id,
        case
            when read.balance is null then last_running.day
            when read.last_booked_on > read.read_on
                and read.balance = last_running.balance + coalesce(moved_later.since_the_last, 0)
                and read.balance is distinct from today.balance + coalesce(moved_later.until_read, 0)
                then read.last_booked_on
            when at_once.account_id is not null then greatest(read.last_booked_on, read.read_on)
            else read.read_on
        end                                                         as balance_on,
        cast(coalesce(read.balance, last_running.balance) as decimal(18, 2)) as balance
    from read
    left join last_running using (account_id)
    left join last_running_when_read as today using (account_id)
    left join moved_later using (account_id)
    left join at_once using (account_id)
    where coalesce(read.balance, last_running.balance) is not null and coalesce(read.read_on, last_running.day) is not null
),

-- The day ends with what a file adds to a day that the bank showed before it was over
final as (
    select
        dated.account_id,
        dated.balance_on,
        cast(
            dated.balance + case when accounts.source <> 'file' then coalesce(movements.amount_of_files, 0) else 0 end
            as decimal(18, 2)
        )                                                           as balance
    from dated
    inner join accounts using (account_id)
    left join movements on movements.account_id = dated.account_id and movements.day = dated.balance_on
)

select * from final
