create or replace function relay.count_standing_dead_letters(
  p_walk_limit integer
)
returns table (group_id integer, conversions bigint, walked_all boolean)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
-- As in relay.read_dead_letters.
set enable_seqscan = off
set jit = off
as $$
  with dead as materialized (
    select outcome.conversion_id, outcome.seq
    from relay.conversion_outcome as outcome
    where outcome.outcome in ('REJECTED', 'EXHAUSTED', 'UNCONFIRMED')
    limit greatest(p_walk_limit, 0) + 1
  ), walk as materialized (
    select pg_catalog.count(*) <= p_walk_limit as is_whole from dead
  )
  select conversion.group_id, pg_catalog.count(*), walk.is_whole
  from dead
  cross join walk
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
  where later.seq is null
  group by conversion.group_id, walk.is_whole;
$$;

comment on function relay.count_standing_dead_letters is
  'Dead letters of each group: what ended rejected, exhausted or unconfirmed and was not redriven. Walks p_walk_limit entries '
  'of the index conversion_outcome_dead at most, which live as long as history does: walked_all is false where there are more, '
  'and then the counts are a least. Called by relay.take_gauges.';
