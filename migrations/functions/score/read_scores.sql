create or replace function relay.read_scores(
  p_provider_key text,      -- null: every provider
  p_site_id uuid,           -- null: every site
  p_limit integer
)
returns table (
  site_id uuid, provider_key text, score numeric, delivered bigint, failed bigint, neutral bigint, requests bigint,
  requests_failed bigint, window_days integer, until_day date
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    delivery_score.site_id, delivery_score.provider_key, delivery_score.score, delivery_score.delivered, delivery_score.failed,
    delivery_score.neutral, delivery_score.requests, delivery_score.requests_failed, delivery_score.window_days,
    delivery_score.until_day
  from relay.delivery_score
  where (p_provider_key is null or delivery_score.provider_key = p_provider_key)
    and (p_site_id is null or delivery_score.site_id = p_site_id)
  order by delivery_score.score, delivery_score.group_id
  limit p_limit;
$$;

comment on function relay.read_scores is 'The delivery scores, the worst first and those without one last, at most p_limit.';

grant execute on function relay.read_scores to relay_service, relay_operator;
