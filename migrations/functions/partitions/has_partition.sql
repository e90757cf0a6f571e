create or replace function relay.has_partition(
  p_at timestamptz
)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  -- By a query and not by to_regclass, whose cache may not know yet of what another has just made.
  select pg_catalog.count(*) = 3
  from pg_catalog.pg_class
  where pg_class.relnamespace = 'relay'::regnamespace
    and pg_class.relname in (
      relay.partition_name('conversion', p_at), relay.partition_name('conversion_outcome', p_at),
      relay.partition_name('provider_upload_attempts', p_at)
    );
$$;

comment on function relay.has_partition is
  'Whether what happens at this moment has its partitions. Three looks into the catalogue, no lock. Called by functions.';
