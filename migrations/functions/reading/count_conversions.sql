create or replace function relay.count_conversions(
  p_site_id uuid            -- null: every site
)
returns table (provider_key text, status text, outcome text, code text, conversions bigint)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    queue.provider_key, queue.status, queue.outcome,
    case when queue.status in ('COMPLETED', 'SUBMITTED') then queue.provider_error_code else queue.last_error end,
    pg_catalog.count(*)
  from relay.offline_conversion_queue as queue
  where p_site_id is null or queue.site_id = p_site_id
  group by 1, 2, 3, 4
  order by 1, 2, 5 desc, 3, 4;
$$;

comment on function relay.count_conversions is
  'What became of all conversions, by status, outcome and code. Walks the whole queue: for a site, a demo or a report.';

grant execute on function relay.count_conversions to relay_service, relay_operator;
