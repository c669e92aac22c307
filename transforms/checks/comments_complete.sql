-- A table or a column of the ledger has no comment.
select table_name, null as column_name
from duckdb_tables()
where database_name = 'ledger' and coalesce(comment, '') = ''
union all
select table_name, column_name
from duckdb_columns()
where database_name = 'ledger' and coalesce(comment, '') = ''
