create or replace function relay.count_endings(
  p_group_ids integer[],
  p_outcomes text[],        -- one entry per conversion that ended, side by side with its group; null: it did not end
  p_now timestamptz
)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select relay.increment_provider_upload_metrics(ended.group_id, 0, ended.completed, ended.failed, 0, 0, 0, p_now)
  from (
    select
      one.group_id,
      pg_catalog.count(*) filter (where one.outcome in ('DUPLICATE', 'SUPERSEDED'))::integer as completed,
      pg_catalog.count(*) filter (where one.outcome in ('REJECTED', 'EXPIRED', 'CANCELLED', 'UNCONFIRMED'))::integer as failed
    from unnest(p_group_ids, p_outcomes) as one (group_id, outcome)
    where one.outcome is not null
    group by one.group_id
    order by one.group_id
  ) as ended;
$$;

comment on function relay.count_endings is
  'Adds conversions that ended without a request to the totals of their groups, in the order of the groups. Called by functions, last.';
