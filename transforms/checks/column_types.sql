-- A column does not have the type that its name promises: money, a day, an instant.
with

columns as (
    select
        table_name,
        column_name,
        data_type,
        case
            when column_name = 'original_amount' then 'DECIMAL(18,3)'
            when regexp_matches(column_name, '(^|_)(amount|balance|balance_after)$') then 'DECIMAL(18,2)'
            when column_name in ('money_in', 'money_out', 'expected_in', 'expected_out', 'inferred_in', 'inferred_out') then 'DECIMAL(18,2)'
            when regexp_matches(column_name, '(_on$|^day$|^month$|^window_(start|end)$)') then 'DATE'
            when regexp_matches(column_name, '(_at$|^valid_(from|to)$)') then 'TIMESTAMP WITH TIME ZONE'
            when column_name = 'rate' then 'DECIMAL(18,6)'
            when regexp_matches(column_name, '_id$') then 'VARCHAR'
            when column_name in ('labels', 'access_modes', 'names', 'consents') then 'VARCHAR[]'
        end as promised
    from duckdb_columns()
    where database_name = 'ledger'
)

select table_name, column_name from columns where data_type <> promised
