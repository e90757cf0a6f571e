-- New rows for the groups that gave some: $1 group ids, $2 how many each; as the producer would, keys left out.
with fresh as materialized (
  select relay.id_floor(now()) | nextval('relay.id_seq') as conversion_id, given.group_id
  from unnest($1::integer[], $2::integer[]) as given (group_id, size)
  cross join lateral generate_series(1, given.size)
), kept as (
  insert into relay.conversion (conversion_id, group_id, external_id, kind, due_at, expires_at, created_at, payload)
  select fresh.conversion_id, fresh.group_id, 'sale-' || fresh.conversion_id, 'conversion', now(), now() + interval '30 days', now(), '{}'
  from fresh
), waiting as (
  insert into relay.ready (group_id, band, next_attempt_at, conversion_id, expires_at, seq)
  select fresh.group_id, (fresh.conversion_id % 100 > 0)::integer, now(), fresh.conversion_id, now() + interval '30 days', 0
  from fresh
)
select relay.call_groups(
  array_agg(distinct given.group_id), array_fill(now(), array[count(distinct given.group_id)::integer])
)
from unnest($1::integer[]) as given (group_id);
