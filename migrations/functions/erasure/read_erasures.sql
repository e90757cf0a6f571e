create or replace function relay.read_erasures(
  p_erasure_id bigint,      -- null: the youngest
  p_limit integer
)
returns table (
  erasure_id bigint, requested_at timestamptz, finished_at timestamptz, walked bigint, conversions bigint, keys bigint,
  ready bigint, held bigint, blocked bigint, in_flight bigint, submitted bigint
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    erasure.erasure_id, erasure.requested_at, erasure.finished_at, erasure.walked, erasure.conversions, erasure.keys,
    erasure.ready, erasure.held, erasure.blocked, erasure.in_flight, erasure.submitted
  from relay.erasure
  where p_erasure_id is null or erasure.erasure_id = p_erasure_id
  order by erasure.erasure_id desc
  limit p_limit;
$$;

comment on function relay.read_erasures is
  'Erasures that were asked for, the youngest first, at most p_limit: how far each is and what was found in each table. Never '
  'whom it is for.';

grant execute on function relay.read_erasures to relay_service, relay_operator;
