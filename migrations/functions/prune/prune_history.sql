create or replace function relay.prune_history(
  p_retention_days integer,
  p_limit integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (keys integer, receipts integer, holds integer, dropped text, skipped text[], busy text, finished boolean)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_kept_from timestamptz := coalesce(p_now, pg_catalog.clock_timestamp()) - pg_catalog.make_interval(days => p_retention_days);
  v_before bigint := relay.id_floor(v_kept_from);
  v_walk relay.prune_walk;
  v_week record;
  v_ledger record;
begin
  if p_retention_days not between 180 and 36500 or p_limit not between 1 and 100000 then
    raise exception 'p_retention_days must lie in 180 to 36500, p_limit in 1 to 100000' using errcode = 'CR001';
  end if;
  keys := 0;
  receipts := 0;
  holds := 0;
  skipped := '{}';
  finished := false;

  -- One at a time, and not while somebody brings dead letters back to life: they hold it FOR SHARE.
  select prune_walk.* from relay.prune_walk for update skip locked into v_walk;
  if v_walk.singleton is null then
    busy := 'relay.prune_walk';
    return next;
    return;
  end if;

  if v_walk.id_from = v_walk.id_to then
    select week.* from relay.find_week_to_prune(v_before) as week into v_week;
    skipped := v_week.skipped;
    if v_week.id_from is not null then
      update relay.prune_walk
      set id_from = v_week.id_from, id_to = v_week.id_to, conversion_id = v_week.id_from - 1
      where prune_walk.singleton;
      return next;
      return;
    end if;
  elsif v_walk.conversion_id < v_walk.id_to - 1 then
    keys := relay.prune_keys(p_limit);
    return next;
    return;
  else
    -- Outcomes go before what they are of.
    select partition.name, partition.parent
    from relay.read_partitions() as partition
    where partition.parent in ('conversion', 'conversion_outcome')
      and partition.id_from = v_walk.id_from
      and partition.id_to = v_walk.id_to
    order by partition.parent desc
    limit 1
    into v_week;
    if v_week.name is null then
      update relay.prune_walk set id_from = 0, id_to = 0, conversion_id = 0 where prune_walk.singleton;
    elsif relay.drop_partition(v_week.parent, v_week.name) then
      dropped := v_week.name;
    else
      busy := v_week.name;
    end if;
    return next;
    return;
  end if;

  select ledger.* from relay.prune_ledger(v_before, p_limit) as ledger into v_ledger;
  receipts := v_ledger.receipts;
  dropped := v_ledger.dropped;
  busy := v_ledger.busy;
  skipped := skipped || v_ledger.skipped;
  if receipts = 0 and dropped is null and busy is null then
    holds := relay.prune_holds(v_kept_from, p_limit);
    finished := holds < p_limit;
  end if;
  return next;
end;
$$;

comment on function relay.prune_history is
  'Takes one bounded step towards a history of p_retention_days (180 to 36500): the week of conversions that goes is chosen, '
  'then its keys are deleted (p_limit at a time, 1 to 100000), then its outcomes are dropped, then its conversions; after '
  'the last such week the receipts and the ledger of weeks that nothing refers to, and lifted holds. Call again until '
  'finished. A week goes when all of it is past its time and none of its conversions lives; skipped names those that stay and '
  'why: it is whole in the answer that is finished. busy: what a lock kept from being dropped; nothing waits behind us '
  'for more than 100 ms. The accounts add up after every step. One row. Raises CR001 for bad arguments. Locks: prune_walk, '
  'keys; or prune_walk, a parent of partitions.';

grant execute on function relay.prune_history to relay_service;
