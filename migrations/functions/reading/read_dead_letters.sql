create or replace function relay.read_dead_letters(
  p_provider_key text,      -- null: every provider
  p_site_id uuid,           -- null: every site
  p_walk_limit integer
)
returns table (
  provider_key text, code text, outcome text, conversions bigint, conversion_id bigint, walked_all boolean
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
-- A plan that was made while this week's partition was empty would read all of it for ever.
set enable_seqscan = off
set jit = off
as $$
  with dead as materialized (
    select outcome.conversion_id, outcome.seq, outcome.outcome, outcome.code
    from relay.conversion_outcome as outcome
    where outcome.outcome in ('REJECTED', 'EXHAUSTED', 'UNCONFIRMED')
    limit greatest(p_walk_limit, 0) + 1
  ), walk as materialized (
    select pg_catalog.count(*) <= p_walk_limit as is_whole from dead
  )
  select
    delivery_group.provider_key, dead.code, dead.outcome, pg_catalog.count(*), pg_catalog.max(dead.conversion_id),
    walk.is_whole
  from dead
  cross join walk
  -- Looked up one by one, with a limit, so that it is never turned round.
  cross join lateral (
    select conversion.group_id
    from relay.conversion
    where conversion.conversion_id = dead.conversion_id
    limit 1
  ) as conversion
  left join lateral (
    select later.seq
    from relay.conversion_outcome as later
    where later.conversion_id = dead.conversion_id and later.seq = dead.seq + 1
    limit 1
  ) as later on true
  join relay.delivery_group on delivery_group.group_id = conversion.group_id
  where later.seq is null
    and (p_provider_key is null or delivery_group.provider_key = p_provider_key)
    and (p_site_id is null or delivery_group.site_id = p_site_id)
  group by delivery_group.provider_key, dead.code, dead.outcome, walk.is_whole
  order by pg_catalog.count(*) desc, delivery_group.provider_key, dead.code;
$$;

comment on function relay.read_dead_letters is
  'Dead letters (rejected, exhausted, unconfirmed) by provider, code and outcome, the most first, with the youngest '
  'conversion of each. Walks the index conversion_outcome_dead, p_walk_limit entries of it at most: walked_all is false '
  'where there are more, and then the counts are a part. Who came back to life since is not counted.';

grant execute on function relay.read_dead_letters to relay_service, relay_operator;
