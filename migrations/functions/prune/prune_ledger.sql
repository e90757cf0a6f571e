create or replace function relay.prune_ledger(
  p_before bigint,
  p_limit integer
)
returns table (receipts integer, dropped text, busy text, skipped text[])
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
  v_week record;
begin
  skipped := '{}';
  receipts := 0;
  for v_week in
    -- Conversions that were kept, for one of their week lives, may have gone out with requests of any later week.
    with kept as materialized (
      select distinct outcome.attempt_id
      from relay.conversion_outcome as outcome
      where outcome.conversion_id < p_before and outcome.attempt_id < p_before
    )
    select
      partition.name, partition.id_from, partition.id_to,
      case
        when exists (
          select
          from relay.provider_upload_attempts as attempt
          where attempt.closed_at is null and attempt.attempt_id >= partition.id_from and attempt.attempt_id < partition.id_to
        ) then 'a request is open, which relay recover closes'
        when exists (
          select
          from kept
          where kept.attempt_id >= partition.id_from and kept.attempt_id < partition.id_to
        ) then 'a conversion that was kept refers to it'
      end as why
    from relay.read_partitions() as partition
    where partition.parent = 'provider_upload_attempts' and partition.id_to <= p_before
    order by partition.id_from
  loop
    exit when v_week.why is null;
    skipped := skipped || pg_catalog.format('%s: %s', v_week.name, v_week.why);
  end loop;
  if not found or v_week.why is not null then
    return next;
    return;
  end if;

  with old as materialized (
    select receipt.attempt_id
    from relay.receipt
    where receipt.attempt_id >= v_week.id_from and receipt.attempt_id < v_week.id_to
    limit p_limit
  )
  delete from relay.receipt using old where receipt.attempt_id = old.attempt_id;
  get diagnostics receipts = row_count;
  if receipts > 0 then
    return next;
    return;
  end if;
  if relay.drop_partition('provider_upload_attempts', v_week.name) then
    dropped := v_week.name;
  else
    busy := v_week.name;
  end if;
  return next;
end;
$$;

comment on function relay.prune_ledger is
  'The oldest week of the ledger wholly before the id p_before that nothing refers to: deletes at most p_limit of its '
  'receipts, and where there are none left drops it. skipped: weeks that something refers to. One row; with neither '
  'receipts nor dropped nor busy there is nothing left to do. Called by prune_history, once no week of conversions can go.';
