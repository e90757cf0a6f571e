create or replace function relay.look_up_conversions(
  p_id text,
  p_limit integer
)
returns table (
  conversion_id bigint, found_by text, external_id text, site_id uuid, provider_key text, status text
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with found as materialized (
    select conversion.conversion_id, 'conversion id' as found_by
    from relay.conversion
    where p_id ~ '^[0-9]{1,18}$' and conversion.conversion_id = case when p_id ~ '^[0-9]{1,18}$' then p_id::bigint end
    union all
    select conversion_key.conversion_id, 'external id'
    from relay.conversion_key
    where conversion_key.external_id = p_id
    union all
    (
      select outcome.conversion_id, 'provider request id'
      from relay.provider_upload_attempts as attempt
      join relay.conversion on conversion.group_id = attempt.group_id
      join relay.conversion_outcome as outcome
        on outcome.conversion_id = conversion.conversion_id and outcome.attempt_id = attempt.attempt_id
      where attempt.provider_request_id = p_id
      limit p_limit
    )
    union all
    (
      select outcome.conversion_id, 'run id'
      from relay.provider_upload_attempts as attempt
      join relay.conversion on conversion.group_id = attempt.group_id
      join relay.conversion_outcome as outcome
        on outcome.conversion_id = conversion.conversion_id and outcome.attempt_id = attempt.attempt_id
      where p_id ~ '^[0-9]{1,18}$' and attempt.run_id = case when p_id ~ '^[0-9]{1,18}$' then p_id::bigint end
      limit p_limit
    )
    union all
    (
      select conversion.conversion_id, 'order id'
      from relay.conversion
      where conversion.payload ->> 'order_id' = p_id
      limit p_limit
    )
  ), first as materialized (
    select found.conversion_id, pg_catalog.min(found.found_by) as found_by
    from found
    group by found.conversion_id
    order by found.conversion_id
    limit p_limit
  )
  select
    first.conversion_id, first.found_by, queue.sale_id, queue.site_id, queue.provider_key, queue.status
  from first
  join relay.conversion on conversion.conversion_id = first.conversion_id
  -- By its external id, with which the view begins.
  cross join lateral (
    select queue.sale_id, queue.site_id, queue.provider_key, queue.status
    from relay.offline_conversion_queue as queue
    where queue.sale_id = conversion.external_id and queue.id = first.conversion_id
    limit 1
  ) as queue
  order by first.conversion_id;
$$;

comment on function relay.look_up_conversions is
  'Conversions by whatever id a person holds: conversion, external, order, provider request or run; with where each stands. '
  'At most p_limit. What is being pruned is not found.';

grant execute on function relay.look_up_conversions to relay_service, relay_operator;
