-- A column of the ledger is a float, which cannot hold money exactly.
select table_name, column_name
from duckdb_columns()
where database_name = 'ledger' and regexp_matches(data_type, 'DOUBLE|FLOAT|REAL')
