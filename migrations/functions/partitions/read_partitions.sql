create or replace function relay.read_partitions()
returns table (parent text, name text, id_from bigint, id_to bigint)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select
    parent.relname::text, partition.relname::text, bound.parts[1]::bigint, bound.parts[2]::bigint
  from pg_catalog.pg_inherits
  join pg_catalog.pg_class as parent on parent.oid = pg_inherits.inhparent
  join pg_catalog.pg_class as partition on partition.oid = pg_inherits.inhrelid
  cross join lateral (
    select pg_catalog.regexp_match(
      pg_catalog.pg_get_expr(partition.relpartbound, partition.oid), 'FROM \(''?(\d+)''?\) TO \(''?(\d+)''?\)'
    ) as parts
  ) as bound
  where parent.relkind = 'p' and parent.relnamespace = 'relay'::regnamespace and bound.parts is not null;
$$;

comment on function relay.read_partitions is
  'Every weekly partition, by its parent: the ids that it holds, from id_from and before id_to. Called by functions.';
