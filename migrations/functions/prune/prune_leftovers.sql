create or replace function relay.prune_leftovers(
  p_retention_days integer,
  p_limit integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (days integer, tokens integer, pauses integer, erasures integer, calls integer, finished boolean)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set jit = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_kept_from timestamptz := v_now - pg_catalog.make_interval(days => p_retention_days);
begin
  if p_retention_days not between 180 and 36500 or p_limit not between 1 and 100000 then
    raise exception 'p_retention_days must lie in 180 to 36500, p_limit in 1 to 100000' using errcode = 'CR001';
  end if;

  with old as materialized (
    select delivery_day.day, delivery_day.group_id
    from relay.delivery_day
    where delivery_day.day < v_kept_from::date
    order by delivery_day.day, delivery_day.group_id
    limit p_limit
    for update skip locked
  )
  delete from relay.delivery_day using old where delivery_day.day = old.day and delivery_day.group_id = old.group_id;
  get diagnostics days = row_count;
  delete from relay.scored_day
  where scored_day.day < v_kept_from::date
    and not exists (select from relay.delivery_day where delivery_day.day = scored_day.day);

  -- Nobody can use it any more, and whoever could would have fetched another.
  with old as materialized (
    select access_token.token_key
    from relay.access_token
    where access_token.expires_at < v_now - interval '1 day'
    limit p_limit
    for update skip locked
  )
  delete from relay.access_token using old where access_token.token_key = old.token_key;
  get diagnostics tokens = row_count;

  with old as materialized (
    select pause.ctid as place
    from relay.pause
    where pause.paused_until < v_now - interval '1 day'
    limit p_limit
    for update skip locked
  )
  delete from relay.pause using old where pause.ctid = old.place;
  get diagnostics pauses = row_count;

  -- That somebody was erased is history as all else.
  with old as materialized (
    select erasure.erasure_id
    from relay.erasure
    where erasure.finished_at < v_kept_from
    limit p_limit
    for update skip locked
  )
  delete from relay.erasure using old where erasure.erasure_id = old.erasure_id;
  get diagnostics erasures = row_count;

  -- Calls of orders that retention took away: nobody would ever follow them.
  with old as materialized (
    select order_call.call_at, order_call.call_id
    from relay.order_call
    where order_call.call_at < v_now - interval '1 minute'
      and not exists (
        select
        from relay.order_chain
        where order_chain.group_id = order_call.group_id and order_chain.order_hash = order_call.order_hash
      )
    limit p_limit
    for update skip locked
  )
  delete from relay.order_call
  using old
  where order_call.call_at = old.call_at and order_call.call_id = old.call_id;
  get diagnostics calls = row_count;
  finished := greatest(days, tokens, pauses, erasures, calls) < p_limit;
  return next;
end;
$$;

comment on function relay.prune_leftovers is
  'Deletes what is over besides the history that relay.prune_history takes by the week, at most p_limit of each (1 to 100000): '
  'days of scores and finished erasures past p_retention_days (180 to 36500), access tokens and pauses that ended more than a '
  'day ago, calls of orders that are gone. One row of counts; call again until finished. Raises CR001 for bad arguments. '
  'Passes over what is locked.';

grant execute on function relay.prune_leftovers to relay_service;
