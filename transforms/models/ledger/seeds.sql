-- One row per seed file that this ledger was built with: accounts, categories, rules, transfers, settings.
-- grain:  seed
-- checks: not_null(origin, rows, sha256), accepted(origin, 'shipped', 'own')

with

files as (select * from seeds.files),

final as (select name as seed, origin, rows, sha256 from files)

select * from final
order by seed
