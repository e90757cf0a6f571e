create or replace function relay.drop_partition(
  p_parent text,
  p_name text
)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
begin
  -- Whoever comes after us waits behind us for as long as we wait: a tenth of a second, and then they go first.
  execute pg_catalog.format('lock table only relay.%I in access exclusive mode', p_parent);
  execute pg_catalog.format('drop table relay.%I', p_name);
  return true;
exception
  when lock_not_available then return false;
end;
$$;

comment on function relay.drop_partition is
  'Drops a partition, where its parent''s lock is to be had within 100 ms; else false, and nothing was done. Last in its '
  'transaction, so that the lock is held for a moment. Called by functions, which know that nothing refers to it.';
