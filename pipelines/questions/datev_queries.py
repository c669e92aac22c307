"""The SQL of `datev.py`: the lines of a batch, of open months as the ledger is, of closed ones as they were closed.

A movement of a closed month, and the correction of one in the first open month, keeps its account and its tax in three cases: the
ledger's postings say the same as what was closed, or just the opposite; only the amount differs, with net and tax in the
proportion of the rate; or its account has never a tax. Otherwise its amount is known, but not what it was for: it is one line
without an account.
"""

CURRENCY = "EUR"

ACCOUNTS = """
select account_id, display_name, currency, ledger_account, account_type = 'card' as is_card
from accounts
order by account_id
"""

_LINES = f"""
with

closed_through as (
    select account_id, max(last_day) as closed_through
    from closings
    where list_contains($accounts, account_id)
    group by account_id
),

-- entries of closed months, the corrections among them, and corrections that are open
kept as (
    select account_id, entry, booked_on, movement_on, is_correction, ledger_account, is_bank, amount
    from closed_postings
    where kind = 'transaction' and list_contains($accounts, account_id) and booked_on between $first and $last
    union all
    select account_id, entry, booked_on, movement_on, true, ledger_account, is_bank, amount
    from corrections
    where kind = 'transaction' and list_contains($accounts, account_id) and booked_on between $first and $last
),

kept_accounts as (
    select
        account_id, entry, booked_on, is_correction, ledger_account, is_bank,
        cast(sum(amount) as decimal(18, 2)) as amount,
        any_value(movement_on) as movement_on
    from kept
    group by account_id, entry, booked_on, is_correction, ledger_account, is_bank
    having sum(amount) <> 0
),

kept_movements as (
    select
        account_id, entry as transaction_id, booked_on, is_correction,
        cast(coalesce(sum(amount) filter (is_bank), 0) as decimal(18, 2)) as amount,
        list({{name: ledger_account, amount: amount}} order by ledger_account) filter (not is_bank) as others,
        list({{name: ledger_account, amount: cast(-amount as decimal(18, 2))}} order by ledger_account) filter (not is_bank)
            as opposite,
        any_value(movement_on) as movement_on
    from kept_accounts
    group by account_id, entry, booked_on, is_correction
),

current_accounts as (
    select account_id, transaction_id, ledger_account, cast(sum(amount) as decimal(18, 2)) as amount
    from postings
    semi join kept_movements using (account_id, transaction_id)
    where leg <> 1
    group by account_id, transaction_id, ledger_account
    having sum(amount) <> 0
),

current_movements as (
    select account_id, transaction_id, list({{name: ledger_account, amount: amount}} order by ledger_account) as others
    from current_accounts
    group by account_id, transaction_id
),

-- account and VAT code of a movement today, if it is not split
current_parts as (
    select
        account_id, transaction_id,
        sign(any_value(amount) filter (leg = 1)) as way,
        any_value(ledger_account) filter (leg not in (1, 3) and leg < 1000) as ledger_account,
        any_value(vat_code) as vat_code,
        coalesce(any_value(vat_percent), 0) as percent,
        any_value(reversal_of) as reversal_of
    from postings
    semi join kept_movements using (account_id, transaction_id)
    group by account_id, transaction_id
    having count(distinct leg % 1000) = 2
),

closed_parts as (
    select
        account_id, entry as transaction_id,
        sign(any_value(amount) filter (is_bank)) as way,
        any_value(reversal_of) as reversal_of
    from closed_postings
    where kind = 'transaction' and not is_correction
        and (account_id, entry) in (select (account_id, transaction_id) from kept_movements)
    group by account_id, entry
),

matched as (
    select
        kept_movements.*,
        current_movements.others as current,
        parts.ledger_account as part,
        parts.vat_code as part_code,
        parts.percent,
        -- a tax that is owed and deducted at once is not part of the amount
        100 + if(
            list_contains(kept_movements.others, {{name: part, amount: cast(-kept_movements.amount as decimal(18, 2))}}),
            0,
            percent
        ) as whole,
        coalesce(closed_parts.way, parts.way) as way,
        parts.way as current_way,
        coalesce(closed_parts.reversal_of, parts.reversal_of) is not null as is_reversal
    from kept_movements
    left join current_movements using (account_id, transaction_id)
    left join current_parts as parts using (account_id, transaction_id)
    left join closed_parts using (account_id, transaction_id)
    where kept_movements.amount <> 0 or kept_movements.others is not null  -- a bank account that is called otherwise now
),

proportioned as (
    select
        *,
        len(others) = 1 and (
            others[1].name = 'Assets:Transit' or not regexp_matches(others[1].name, '^(Income|Expenses|Assets):')
        ) as is_never_taxed,
        -- same accounts, same direction; the tax is computed from the whole amount, as a difference would be rounded twice
        way = current_way
        and list_has_all([one.name for one in current], [one.name for one in others])
        and len([
            one for one in current
            if one.name <> part and abs(
                abs(coalesce([kept.amount for kept in others if kept.name = one.name][1], 0)) * whole - abs(amount) * percent
            ) > 0.01 * whole
        ]) = 0 as is_in_proportion
    from matched
),

compared as (
    select
        account_id, transaction_id, booked_on, movement_on, is_correction, amount,
        case when others = current then 1 when opposite = current then -1 end as factor,
        case when is_in_proportion then part when is_never_taxed then others[1].name end as ledger_account,
        case when is_in_proportion then part_code end as vat_code,
        is_reversal <> (sign(amount) <> way) as is_return
    from proportioned
),

dated as (
    select postings.*, 1 as factor, false as is_correction, booked_on as movement_on
    from postings
    left join closed_through using (account_id)
    where list_contains($accounts, account_id) and booked_on between $first and $last
        and coalesce(booked_on > closed_through, true)
    union all
    select
        postings.* replace (compared.booked_on as booked_on), compared.factor, compared.is_correction, compared.movement_on
    from compared
    inner join postings using (account_id, transaction_id)
    where compared.factor is not null
),

-- a tax is a leg of its own, numbered after the leg whose tax it is: together they are the gross amount
lines as (
    select
        account_id, transaction_id, dated.leg % 1000 as leg, booked_on, is_correction, movement_on,
        cast(-sum(factor * amount) as decimal(18, 2)) as amount,
        any_value(ledger_account) filter (dated.leg < 1000) as ledger_account,
        any_value(vat_code) as vat_code,
        -- what comes back, and what is taken back, goes where the payment went
        (any_value(reversal_of) is not null) <> (any_value(factor) < 0) as is_return
    from dated
    where currency = '{CURRENCY}' and dated.leg % 1000 not in (1, 3)
    group by account_id, transaction_id, dated.leg % 1000, booked_on, is_correction, movement_on
    union all
    select
        account_id, transaction_id, 2 as leg, booked_on, is_correction, movement_on, amount, ledger_account, vat_code,
        coalesce(is_return, false) as is_return
    from compared
    where factor is null
)
"""

COUNTED = f"""
{_LINES}
select
    count(*) filter (amount <> 0) as postings,
    count(*) filter (amount = 0 and ledger_account is not null) as zeros,
    count(*) filter (amount = 0 and ledger_account is null) as reclassified,
    max(abs(amount)) as largest
from lines
"""

POSTINGS = f"""
{_LINES}
,

-- of a movement that the bank shows no more
closed_texts as (
    select account_id, entry as transaction_id, min_by(payee, month) as payee, min_by(narration, month) as narration
    from closed_postings
    where kind = 'transaction' and list_contains($accounts, account_id)
    group by account_id, entry
)

select
    lines.*,
    if(transactions.account_id is null, closed_texts.payee, transactions.counterparty_name) as counterparty_name,
    if(transactions.account_id is null, closed_texts.narration, transactions.description) as description,
    transactions.transaction_type,
    details.invoice_number
from lines
left join transactions using (transaction_id)
left join transaction_details as details using (transaction_id)
left join closed_texts on closed_texts.account_id = lines.account_id and closed_texts.transaction_id = lines.transaction_id
where lines.amount <> 0
order by lines.account_id, lines.booked_on, lines.is_correction, lines.transaction_id, lines.leg
"""
