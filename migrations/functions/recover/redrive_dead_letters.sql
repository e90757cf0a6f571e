create or replace function relay.redrive_dead_letters(
  p_site_id uuid,             -- null: every site
  p_code text,                -- null: every code
  p_conversion_ids bigint[],  -- null: every conversion
  p_limit integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_walk relay.prune_walk;
  v_called integer[];
  v_redriven integer;
begin
  if p_site_id is null and p_code is null and p_conversion_ids is null or p_limit not between 1 and 10000 then
    raise exception 'name a site, a code or conversions, and a limit of 1 to 10000' using errcode = 'CR001';
  end if;

  -- What is being pruned stays dead, and what comes back to life now is not pruned.
  select prune_walk.* from relay.prune_walk for share into v_walk;

  with dead as materialized (
    select conversion.conversion_id, conversion.group_id, conversion.expires_at, outcome.seq, outcome.sent_target,
      case when outcome.sent_target is null then 0 else coalesce(outcome.omitted, 0) end as omitted
    from relay.conversion_outcome as outcome
    join relay.conversion on conversion.conversion_id = outcome.conversion_id
    join relay.delivery_group on delivery_group.group_id = conversion.group_id
    where outcome.outcome in ('REJECTED', 'EXHAUSTED', 'UNCONFIRMED')
      and (p_code is null or outcome.code = p_code)
      and (p_conversion_ids is null or outcome.conversion_id = any (p_conversion_ids))
      and (p_site_id is null or delivery_group.site_id = p_site_id)
      and (conversion.conversion_id < v_walk.id_from or conversion.conversion_id >= v_walk.id_to)
      and not exists (
        select
        from relay.conversion_outcome as later
        where later.conversion_id = outcome.conversion_id and later.seq > outcome.seq
      )
    limit p_limit
  ), told as (
    -- The key (conversion, seq) lets one of two redrives win.
    insert into relay.conversion_outcome as outcome (conversion_id, seq, outcome, next_attempt_at, recorded_at)
    select dead.conversion_id, dead.seq + 1, 'REQUEUED', v_now, v_now
    from dead
    on conflict do nothing
    returning outcome.conversion_id, outcome.seq
  ), back as (
    -- What may have been delivered stays so: it goes to the same place or nowhere.
    insert into relay.ready (
      group_id, band, next_attempt_at, conversion_id, expires_at, target, seq, omitted, maybe_delivered
    )
    select
      dead.group_id, case when dead.expires_at < v_now + interval '48 hours' then 0 else 1 end, v_now,
      dead.conversion_id, dead.expires_at, dead.sent_target, told.seq,
      dead.omitted, dead.sent_target is not null
    from told
    join dead on dead.conversion_id = told.conversion_id
    returning ready.group_id
  )
  select pg_catalog.count(*), pg_catalog.array_agg(distinct back.group_id) from back into v_redriven, v_called;

  if v_called is not null then
    perform relay.call_groups(v_called, pg_catalog.array_fill(v_now, array[pg_catalog.cardinality(v_called)]));
  end if;
  return v_redriven;
end;
$$;

comment on function relay.redrive_dead_letters is
  'Sends dead letters (rejected, exhausted, unconfirmed) to work again, with their key, their history and a fresh budget of '
  'retries; not those of a week that is being pruned. At most p_limit of them; says how many. Raises CR001 where nothing narrows the call.';

grant execute on function relay.redrive_dead_letters to relay_service;
