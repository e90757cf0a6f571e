create or replace function relay.release_some_holds(
  p_hold_id bigint,         -- null: every hold that the rest names
  p_provider_key text,      -- null: every provider
  p_site_id uuid,           -- null: every site
  p_code text,              -- null: every code
  p_limit integer,          -- holds, and conversions
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (holds integer, sites integer, conversions integer, is_done boolean)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz;
  v_hold_ids bigint[];
  v_freeing bigint[];
  v_groups integer[];
begin
  if p_hold_id is null and p_site_id is null and p_code is null or p_limit not between 1 and 100000 then
    raise exception 'name a hold, a site or a code, and a limit of 1 to 100000' using errcode = 'CR001';
  end if;
  select pg_catalog.array_agg(chosen.hold_id)
  from (
    select hold.hold_id
    from relay.hold
    join relay.delivery_group on delivery_group.group_id = hold.group_id
    where hold.lifted_at is null
      and hold.lifts_at is null
      -- Credentials alone bring a site back.
      and hold.code <> 'SITE_REMOVED'
      and (p_hold_id is null or hold.hold_id = p_hold_id)
      and (p_code is null or hold.code = p_code)
      and (p_provider_key is null or delivery_group.provider_key = p_provider_key)
      -- One of a client or a transport is not one site's.
      and (p_site_id is null or hold.provider_key is null and delivery_group.site_id = p_site_id)
    order by hold.hold_id
    limit p_limit
  ) as chosen
  into v_hold_ids;
  -- Those that were lifted before, by a call that did not come to its end, too.
  select pg_catalog.array_agg(lifted.hold_id)
  from (select hold.hold_id from relay.hold where hold.freeing order by hold.hold_id limit p_limit) as lifted
  into v_freeing;

  -- Groups before holds, in the order of their ids, as everywhere.
  perform
  from relay.delivery_group
  where delivery_group.hold_id = any (v_hold_ids)
    or delivery_group.group_id in (
      select hold.group_id from relay.hold where hold.hold_id = any (v_hold_ids || v_freeing)
    )
  order by delivery_group.group_id
  for no key update;
  v_now := coalesce(p_now, pg_catalog.clock_timestamp());

  update relay.hold
  set lifted_at = v_now, freeing = hold.scope in ('row', 'conversion_action')
  where hold.hold_id = any (v_hold_ids) and hold.lifted_at is null;
  get diagnostics holds = row_count;
  -- A group that something else stops stays stopped, by that.
  update relay.delivery_group
  set
    hold_id = other.hold_id,
    turn_at = case
      when other.hold_id is not null then 'infinity'
      else greatest(v_now, delivery_group.throttled_until, delivery_group.circuit_until, delivery_group.paused_until)
    end
  from relay.delivery_group as stopped
  left join lateral (
    select hold.hold_id
    from relay.hold
    where hold.lifted_at is null
      and (
        hold.group_id = stopped.group_id and hold.scope in ('site', 'client', 'provider')
        or hold.provider_key = stopped.provider_key and hold.scope = 'client' and hold.scope_key = stopped.client_key
        or hold.provider_key = stopped.provider_key and hold.scope = 'provider' and hold.scope_key = stopped.transport
      )
    order by hold.hold_id
    limit 1
  ) as other on true
  where stopped.hold_id = any (v_hold_ids) and delivery_group.group_id = stopped.group_id;
  get diagnostics sites = row_count;

  select freed.conversions, freed.group_ids
  from relay.free_parked(v_hold_ids || v_freeing, p_limit, v_now) as freed
  into conversions, v_groups;
  if v_groups is not null then
    perform relay.call_groups(v_groups, pg_catalog.array_fill(v_now, array[pg_catalog.cardinality(v_groups)]));
  end if;
  -- What somebody else has at this moment is his, and what is left by anybody the next claims free.
  is_done := coalesce(pg_catalog.cardinality(v_hold_ids), 0) < p_limit and conversions < p_limit;
  return next;
end;
$$;

comment on function relay.release_some_holds is
  'One step of lifting holds by an operator''s hand: at most p_limit of them are lifted, and at most p_limit of what they, or '
  'those of a step before, parked goes on at once; where nothing was mended the next request holds it again. Not holds that '
  'end by themselves. One row: holds, sites that were stopped, conversions that were parked, and whether that was all; what no '
  'step comes for is freed by claims, 1000 in 30 s. Raises CR001 where nothing narrows the call. Locks: groups in order, holds, what they parked.';

grant execute on function relay.release_some_holds to relay_service;
