-- One row per stretch of days of an account that was never read, that its bank can no longer show, and that no imported file covers.
-- grain:  account_id, from_on
-- checks: not_null(source, to_on, noticed_at)

with

holes as (select * from intermediate.int_holes),

final as (
    select
        account_id,
        'kontomatik'                                                as source,
        from_on,
        to_on,
        to_on - from_on + 1                                         as days,
        noticed_at,
        import_id
    from holes
)

select * from final
order by account_id, from_on
