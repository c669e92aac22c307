-- One row per account on which value added tax of Germany applies: of Kontist, or with a German IBAN; none where the setting is off.
-- grain:  account_id
-- checks: not_null(source)

with

accounts as (select account_id, source, iban from intermediate.int_account_identities),
settings as (select has_vat from intermediate.int_settings),

final as (
    select
        accounts.account_id,
        accounts.source
    from accounts
    cross join settings
    where settings.has_vat and (accounts.source = 'kontist' or starts_with(upper(trim(accounts.iban)), 'DE'))
)

select * from final
