-- A leg of value added tax has no net leg, another code or rate than that has, or is not the tax of that rate to the cent; the two legs of a tax that the buyer owes do not cancel; or a tax is missing.
with

legs as (
    select
        transaction_id,
        leg % 1000 as leg,
        sum(amount) filter (where leg < 1000) as net,
        sum(amount) filter (where leg between 1000 and 1999) as tax,
        sum(amount) filter (where leg > 2000) as deducted,
        min(vat_percent) as vat_percent,
        count(*) filter (where leg < 1000) <> 1
        or count(distinct vat_code) <> 1
        or count(vat_code) <> count(*)
        or count(vat_percent) not in (0, count(*))
        or min(vat_percent) is distinct from max(vat_percent) as is_torn
    from ledger.postings
    where vat_code is not null or leg > 1000
    group by transaction_id, leg % 1000
),

-- the tax times its denominator, so that nothing is divided: half a cent is the most that rounding may leave
off as (
    select
        *,
        case
            when deducted is not null then 100 * net * vat_percent + 10_000 * tax
            else 100 * (net + coalesce(tax, 0)) * vat_percent - (10_000 + 100 * vat_percent) * coalesce(tax, 0)
        end as difference,
        case when deducted is not null then 10_000 else 10_000 + 100 * vat_percent end as denominator
    from legs
)

select transaction_id, leg
from off
where is_torn
    or (deducted is not null and deducted + tax is distinct from 0)
    or (tax is not null and vat_percent is null)
    or 2 * abs(difference) > denominator * 0.01
