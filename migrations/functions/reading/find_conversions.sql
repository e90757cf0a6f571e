create or replace function relay.find_conversions(
  p_id text,
  p_limit integer
)
returns table (conversion_id bigint, found_by text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select found.conversion_id, pg_catalog.min(found.found_by)
  from (
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
  ) as found
  group by found.conversion_id
  order by found.conversion_id
  limit p_limit;
$$;

comment on function relay.find_conversions is
  'For programs of before relay.look_up_conversions. Conversions by whatever id a person holds: conversion, external, order, provider request or run. At most p_limit.';

grant execute on function relay.find_conversions to relay_service, relay_operator;
