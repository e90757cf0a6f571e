create or replace function relay.clear_line(
  p_provider_key text,
  p_from timestamptz,
  p_now timestamptz
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_sort = off
set enable_bitmapscan = off
set enable_seqscan = off
set jit = off
as $$
declare
  v_cleared integer;
begin
  with line as materialized (
    select
      delivery_group.group_id,
      case when delivery_group.floor_until > p_now then delivery_group.floor_at else '-infinity' end as floor_at,
      case when delivery_group.floor_until > p_now then delivery_group.urgent_floor_at else '-infinity' end as urgent_floor_at
    from relay.delivery_group
    where delivery_group.provider_key = p_provider_key
      and delivery_group.turn_at < 'infinity'
      and delivery_group.turn_at >= p_from
      and delivery_group.turn_at <= p_now
    order by delivery_group.provider_key, delivery_group.turn_at, delivery_group.group_id
    limit 1000
    for no key update skip locked
  ), idle as (
    select line.group_id, soonest.next_attempt_at
    from line
    cross join lateral (
      select pg_catalog.min(first.next_attempt_at) as next_attempt_at
      from (values (0::smallint), (1::smallint)) as bands (band)
      cross join lateral (
        select ready.next_attempt_at
        from relay.ready
        where ready.group_id = line.group_id
          and ready.band = bands.band
          and ready.next_attempt_at >= case bands.band when 1 then line.floor_at else line.urgent_floor_at end
        order by ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id
        limit 1
      ) as first
    ) as soonest
    where soonest.next_attempt_at is null or soonest.next_attempt_at > p_now
  )
  update relay.delivery_group
  set turn_at = coalesce(idle.next_attempt_at, 'infinity')
  from idle
  where delivery_group.group_id = idle.group_id;
  get diagnostics v_cleared = row_count;
  return v_cleared;
end;
$$;

comment on function relay.clear_line is
  'Sends groups that have nothing due to their next turn, among the first 1000 of the line: new credentials and expiry put '
  'and leave many of them there, and a claim that visited each would never come to those that have. Says how many. Passes '
  'over what is locked. Called by functions.';
