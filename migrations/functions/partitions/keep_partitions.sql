create or replace function relay.keep_partitions(
  p_weeks_ahead integer default 8,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set lock_timeout = '1s'
as $$
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_monday timestamptz := pg_catalog.date_trunc('week', v_now, 'UTC');
  v_parent text;
  v_name text;
  v_week timestamptz;
  v_made integer := 0;
begin
  if p_weeks_ahead not between 0 and 104 then
    raise exception 'p_weeks_ahead must lie in 0 to 104' using errcode = 'CR001';
  end if;
  -- One maker at a time; a second one has nothing to do.
  if not pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended('relay.keep_partitions', 0)) then
    return 0;
  end if;
  for v_week in select pg_catalog.generate_series(v_monday, v_monday + p_weeks_ahead * interval '7 days', interval '7 days') loop
    foreach v_parent in array array['conversion', 'conversion_outcome', 'provider_upload_attempts'] loop
      v_name := relay.partition_name(v_parent, v_week);
      if not exists (
        select
        from pg_catalog.pg_class
        where pg_class.relnamespace = 'relay'::regnamespace and pg_class.relname = v_name
      ) then
        -- Made by itself and attached empty: attaching takes no lock that a reader or writer would wait for. Who holds one
        -- that it must wait for itself keeps it for another call. What it says of vacuum: migrations/0005_long_life.sql.
        begin
          execute pg_catalog.format(
            'create table relay.%I (like relay.%I including defaults including constraints) with ('
            'autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000, '
            'autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_freeze_min_age = 0)',
            v_name, v_parent
          );
          execute pg_catalog.format(
            'alter table relay.%I attach partition relay.%I for values from (%s) to (%s)',
            v_parent, v_name, relay.id_floor(v_week), relay.id_floor(v_week + interval '7 days')
          );
        exception
          when lock_not_available then return v_made;
        end;
        v_made := v_made + 1;
      end if;
    end loop;
  end loop;
  return v_made;
end;
$$;

comment on function relay.keep_partitions is
  'Makes the weekly partitions from this week to p_weeks_ahead from now that are missing, and says how many it made: fewer '
  'where another makes them, or where a lock was not to be had within a second. Safe at any time and twice at once. Raises '
  'CR001 for an argument out of range.';

grant execute on function relay.keep_partitions to relay_service;
