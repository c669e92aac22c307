-- One row per account of a business, year and line of its income and expenses by payment day, for the German EÜR.
-- grain:  euer_line_id
-- checks: not_null(account_id, year, section, line, ledger_account, amount, currency, movements),
--         accepted(section, 'income', 'expense', 'excluded', 'not_mapped'), relationship(account_id, accounts),
--         relationship(ledger_account, ledger_accounts)

with

-- A tax that the buyer owes and deducts at once moves no money
owed     as (select distinct vat_code from intermediate.int_vat_codes where is_on_top),
settings as (select has_vat from intermediate.int_settings),
chart    as (select ledger_account, kind, euer_line from seeds.chart_of_accounts),
refunds  as (select transaction_id from intermediate.int_payment_kinds where payment_kind = 'refund'),

-- The bank's category says sale, the text says refund, perhaps of a supplier. A person's rule overrides both
refunded as (
    select transaction_id, leg
    from ledger.postings
    semi join refunds using (transaction_id)
    where leg between 2 and 999 and amount < 0
        and starts_with(ledger_account, 'Income:') and contains(decided_by, 'category ')
),

accounts as (
    select account_id from intermediate.int_account_identities where source = 'kontist'
    union
    select account_id from ledger.postings where vat_code is not null
),

summed as (
    select
        account_id,
        year(booked_on)                                             as year,
        ledger_account,
        currency,
        vat_code is not null                                        as has_code,
        vat_percent,
        postings.leg > 1000                                         as is_tax,
        ends_with(decided_by, 'category VAT_PAYMENT') or ends_with(decided_by, 'category VAT_REFUND') as is_of_tax_office,
        amount < 0                                                  as is_in,
        refunded.leg is not null                                    as is_refund,
        sum(-amount)                                                as amount,
        count(*)                                                    as movements
    from ledger.postings
    left join refunded
        on refunded.transaction_id = postings.transaction_id and refunded.leg = postings.leg % 1000
    where postings.leg > 1 and account_id in (select account_id from accounts)
        and (postings.leg < 1000 or vat_code not in (select vat_code from owed))
    group by all
),

placed as (
    select
        summed.*,
        case
            when is_tax and is_refund then 'refunds'
            when is_tax then if(starts_with(ledger_account, 'Liabilities:'), 'vat_received', 'input_vat_paid')
            when is_of_tax_office or chart.euer_line = 'tax_office'
                then if(is_in, 'vat_refunded_by_tax_office', 'vat_paid_to_tax_office')
            when ledger_account in ('Income:Uncategorised', 'Expenses:Uncategorised') then 'uncategorised'
            when has_code and vat_percent is null then 'vat_unknown'
            when is_refund then 'refunds'
            when chart.euer_line is not null then chart.euer_line
            when chart.kind = 'income' and not settings.has_vat then 'small_business_income'
            when chart.kind = 'income' then if(vat_percent > 0, 'taxable_income', 'untaxed_income')
            when chart.kind = 'expense' then 'expenses'
            when has_code then 'assets'
            when chart.kind = 'equity' then 'private'
            when chart.kind = 'liability' then 'loans'
            else 'transfers_and_savings'
        end                                                         as line
    from summed
    left join chart using (ledger_account)
    cross join settings
),

final as (
    select
        concat_ws(':', account_id, year, line, ledger_account, vat_percent, currency) as euer_line_id,
        account_id,
        year,
        case
            when line in ('taxable_income', 'untaxed_income', 'small_business_income', 'vat_received', 'vat_refunded_by_tax_office')
                then 'income'
            when line in ('expenses', 'input_vat_paid', 'vat_paid_to_tax_office') then 'expense'
            when line in ('uncategorised', 'vat_unknown', 'refunds', 'assets') then 'not_mapped'
            else 'excluded'
        end                                                         as section,
        line,
        ledger_account,
        vat_percent,
        cast(sum(amount) as decimal(18, 2))                         as amount,
        currency,
        cast(sum(movements) as bigint)                              as movements
    from placed
    group by all
)

select * from final
order by account_id, year, section, line, ledger_account, vat_percent, currency
