-- One row per pair of columns that can be joined: every value of the first that is not null is in the second.
-- grain:  from_table, from_column, to_table
-- checks: not_null(to_column, checked), accepted(checked, 'every build', 'by construction')

with

relations as (select * from given.relations),

final as (select from_table, from_column, to_table, to_column, checked from relations)

select * from final
order by from_table, from_column, to_table
