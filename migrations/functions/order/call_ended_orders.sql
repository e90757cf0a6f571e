create or replace function relay.call_ended_orders(
  p_limit integer,
  p_now timestamptz
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_sort = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
declare
  v_from bigint;
  v_last bigint;
  v_seen integer;
  v_called integer;
  v_until bigint;
begin
  select order_walk.head from relay.order_walk for update skip locked into v_from;
  if v_from is null then
    return 0;
  end if;
  -- Between bounds that are known before the query starts, it opens their partitions alone.
  select pg_catalog.max(next.head)
  from (select blocked.head from relay.blocked where blocked.head > v_from order by blocked.head limit p_limit) as next
  into v_until;
  with seen as materialized (
    select blocked.head, blocked.group_id, blocked.order_hash
    from relay.blocked
    where blocked.head > v_from and blocked.head <= v_until
    order by blocked.head
    limit p_limit
  ), heads as materialized (
    select distinct on (seen.head) seen.head, seen.group_id, seen.order_hash from seen order by seen.head
  ), called as (
    insert into relay.order_call (call_at, group_id, order_hash)
    select p_now, heads.group_id, heads.order_hash
    from heads
    left join lateral (
      select outcome.outcome, outcome.attempt_id
      from relay.conversion_outcome as outcome
      where outcome.conversion_id = heads.head
        and outcome.conversion_id > v_from
        and outcome.conversion_id <= v_until
      order by outcome.seq desc
      limit 1
    ) as latest on true
    left join relay.receipt on latest.outcome = 'SUBMITTED' and receipt.attempt_id = latest.attempt_id
    where (
        latest.outcome in (
          'DELIVERED', 'DUPLICATE', 'UNMATCHED', 'SUPERSEDED', 'CONSENT_DENIED', 'REJECTED', 'EXPIRED', 'EXHAUSTED',
          'CANCELLED', 'UNCONFIRMED'
        )
        or receipt.state = 'SETTLED'
        -- So long ago that retention took it away.
        or latest.outcome is null
          and not exists (
            select
            from relay.conversion
            where conversion.conversion_id = heads.head
              and conversion.conversion_id > v_from
              and conversion.conversion_id <= v_until
          )
      )
      and not exists (
        select
        from relay.order_call
        where order_call.group_id = heads.group_id and order_call.order_hash = heads.order_hash
      )
    returning 1
  )
  select
    (select pg_catalog.count(*) from seen), (select pg_catalog.max(seen.head) from seen), (select pg_catalog.count(*) from called)
  into v_seen, v_last, v_called;
  -- At the end it begins anew.
  update relay.order_walk set head = case when v_seen < p_limit then -1 else v_last end;
  return v_called;
end;
$$;

comment on function relay.call_ended_orders is
  'Looks at p_limit of those that wait for their order, on from where the last call stopped, and calls the orders whose head is '
  'over though nobody called them: a receipt that settled unheard, or a hand at work. Says how many. Its cost is p_limit and '
  'not what waits. One at a time; who finds another at it has nothing to do. Called by functions.';
