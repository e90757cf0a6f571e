-- New rows for the groups that gave some, as the producer would bring them, but for their keys.
-- $1 group ids, $2 how many each, $3 the time where it is not the server's.
with clock as (
  select coalesce($3::timestamptz, clock_timestamp()) as now
), fresh as materialized (
  select clock.now, relay.id_floor(clock.now) | nextval('relay.id_seq') as conversion_id, given.group_id
  from clock
  cross join unnest($1::integer[], $2::integer[]) as given (group_id, size)
  cross join lateral generate_series(1, given.size)
), kept as (
  insert into relay.conversion (conversion_id, group_id, external_id, kind, due_at, expires_at, created_at, payload)
  select
    fresh.conversion_id, fresh.group_id, 'sale-' || fresh.conversion_id, 'conversion', fresh.now,
    fresh.now + interval '30 days', fresh.now, '{}'
  from fresh
), waiting as (
  insert into relay.ready (group_id, band, next_attempt_at, conversion_id, expires_at, seq)
  select fresh.group_id, 1, fresh.now, fresh.conversion_id, fresh.now + interval '30 days', 0
  from fresh
)
select relay.call_groups(
  array_agg(distinct given.group_id), array_fill((select clock.now from clock), array[count(distinct given.group_id)::integer])
)
from unnest($1::integer[]) as given (group_id);
