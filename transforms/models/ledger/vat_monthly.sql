-- One row per account, month and figure of the value added tax in its movements, by code, rate and box of the German tax form.
-- grain:  vat_monthly_id
-- checks: not_null(account_id, month, figure, status, amount, currency, movements), accepted(side, 'sale', 'purchase'),
--         accepted(figure, 'net', 'gross', 'output_tax', 'input_tax'), accepted(status, 'mapped', 'no_box', 'not_mapped'),
--         relationship(account_id, accounts), joins(month, calendar.day)

with

postings     as (select * from ledger.postings),
codes        as (select * from intermediate.int_vat_codes),
vat_accounts as (select * from intermediate.int_vat_accounts),
owed         as (select distinct vat_code from codes where is_on_top),
refunds      as (select transaction_id from intermediate.int_payment_kinds where payment_kind = 'refund'),

-- The bank's category says sale, the text says refund. A person has to choose the box, also of its tax
refunded as (
    select transaction_id, leg
    from postings
    semi join refunds using (transaction_id)
    where vat_code is not null and leg < 1000 and amount < 0
        and starts_with(ledger_account, 'Income:') and contains(decided_by, 'category ')
),

classed as (
    select
        postings.account_id,
        postings.booked_on,
        postings.currency,
        postings.vat_code,
        postings.vat_percent,
        postings.amount,
        case
            when postings.leg < 1000 then if(starts_with(postings.ledger_account, 'Income:'), 'sale', 'purchase')
            when starts_with(postings.ledger_account, 'Liabilities:') and owed.vat_code is null then 'sale'
            else 'purchase'
        end                                                         as side,
        case
            when postings.vat_percent is null then 'gross'
            when postings.leg < 1000 then 'net'
            when starts_with(postings.ledger_account, 'Liabilities:') then 'output_tax'
            else 'input_tax'
        end                                                         as figure,
        refunded.leg is not null                                    as is_refund
    from postings
    left join owed using (vat_code)
    left join refunded on refunded.transaction_id = postings.transaction_id and refunded.leg = postings.leg % 1000
    where postings.vat_code is not null
),

coded as (
    select
        account_id,
        booked_on,
        currency,
        vat_code,
        vat_percent,
        side,
        figure,
        is_refund,
        -- positive as in the form: what was sold, what is owed, what was bought, what is deducted
        sum(case when side = 'sale' or figure = 'output_tax' then -amount else amount end) as amount,
        count(*)                                                    as movements
    from classed
    group by all
),

-- The boxes of the day, of the row with this rate: what comes back later is in the box of its payment
boxed as (
    select
        coded.*,
        case
            when is_refund then null
            when figure = 'net' then codes.net_box
            when figure = 'output_tax' then codes.output_box
            when figure = 'input_tax' then codes.input_box
        end                                                         as form_box
    from coded
    asof left join codes
        on codes.vat_code = coded.vat_code and codes.side = coded.side and codes.rate = coded.vat_percent
        and codes.valid_from <= coded.booked_on
),

-- A person said that there is no tax
without_tax as (select transaction_id from intermediate.int_decisions where vat_code = 'NONE'),

-- Income and expenses of a business without a VAT code, by day and account, so that later steps read few rows
uncoded_days as (
    select
        account_id,
        booked_on,
        currency,
        ledger_account,
        sum(amount)                                                 as amount,
        count(*)                                                    as movements
    from postings
    where vat_code is null and leg <> 1
        and (starts_with(ledger_account, 'Income:') or starts_with(ledger_account, 'Expenses:'))
        and coalesce(reversal_of, transaction_id) not in (select transaction_id from without_tax)
    group by all
),

uncoded as (
    select
        account_id,
        cast(date_trunc('month', booked_on) as date)                as month,
        currency,
        if(starts_with(ledger_account, 'Income:'), 'sale', 'purchase') as side,
        sum(if(side = 'sale', -amount, amount))                     as amount,
        sum(movements)                                              as movements
    from uncoded_days
    where account_id in (
            select account_id from vat_accounts where source = 'kontist' or account_id in (select account_id from coded)
        )
        -- wages and taxes of the owner are neither sales nor purchases
        and ledger_account not in (select ledger_account from seeds.chart_of_accounts where euer_line is not null)
    group by all
),

summed as (
    select
        account_id,
        cast(date_trunc('month', booked_on) as date)                as month,
        side,
        vat_code,
        vat_percent,
        figure,
        nullif(form_box, 'none')                                    as box,
        case
            when form_box = 'none' then 'no_box'
            when form_box is null then 'not_mapped'
            else 'mapped'
        end                                                         as status,
        case
            when figure = 'gross' then 'no rate of this code on the day'
            when is_refund then 'a refund by its words, which no rule places'
            when form_box is null then 'the box depends on more than the code'
        end                                                         as reason,
        is_refund,
        sum(amount)                                                 as amount,
        currency,
        sum(movements)                                              as movements
    from boxed
    group by all
    union all
    select
        account_id,
        month,
        side,
        cast(null as varchar)                                       as vat_code,
        cast(null as decimal(18, 2))                                as vat_percent,
        'gross'                                                     as figure,
        cast(null as varchar)                                       as box,
        'not_mapped'                                                as status,
        'no code'                                                   as reason,
        false                                                       as is_refund,
        amount,
        currency,
        movements
    from uncoded
),

final as (
    select
        concat_ws(
            ':', account_id, strftime(month, '%Y-%m'), side, coalesce(vat_code, 'none'), vat_percent, figure,
            coalesce(box, if(is_refund, 'refund', status)), currency
        )                                                           as vat_monthly_id,
        account_id,
        month,
        side,
        vat_code,
        vat_percent,
        figure,
        box,
        status,
        reason,
        cast(amount as decimal(18, 2))                              as amount,
        currency,
        cast(movements as bigint)                                   as movements
    from summed
)

select * from final
order by account_id, month, side, vat_code, vat_percent, figure, box, currency
