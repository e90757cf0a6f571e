with given as (
  select
    given.*,
    jsonb_strip_nulls(jsonb_build_object(
      'order_id', given.order_id,
      'conversion_action', nullif(given.action, ''),
      'occurred_at', timestamptz '2026-01-01 00:00:00+00' + given.minute * interval '1 minute'
    )) as payload,
    encode(
      substring(sha256(convert_to(given.action || E'\n' || coalesce(given.order_id, given.id), 'UTF8')) for 16), 'hex'
    )::uuid as order_hash
  from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::integer[])
    with ordinality as given (id, kind, order_id, action, minute, expires, place)
), ranged as (
  select
    array_agg($1::uuid) as sites,
    array_agg('google_ads'::text) as providers,
    array_agg(given.id order by given.place) as ids,
    array_agg(given.kind order by given.place) as kinds,
    array_agg('\x00'::bytea) as digests,
    array_agg(null::timestamptz) as due,
    array_agg(clock_timestamp() + given.expires * interval '1 minute' order by given.place) as expires,
    array_agg(given.payload order by given.place) as payloads,
    array_agg(given.order_hash order by given.place) as hashes,
    array_agg(given.order_id order by given.place) as order_keys
  from given
)
select taken.result
from ranged
cross join lateral relay.take_in_offline_conversions(
  ranged.sites, ranged.providers, ranged.ids, ranged.kinds, ranged.digests, ranged.due, ranged.expires,
  ranged.payloads, ranged.hashes, ranged.order_keys
) as taken
order by taken.item;
