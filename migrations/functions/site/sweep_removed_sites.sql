create or replace function relay.sweep_removed_sites(
  p_site_id uuid,           -- null: every site that was removed
  p_limit integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (cancelled integer, in_doubt integer, finished boolean)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_groups integer[];
  v_gone record;
begin
  if p_limit not between 1 and 100000 then
    raise exception 'p_limit must lie in 1 to 100000' using errcode = 'CR001';
  end if;
  -- Whoever brings a site back at this moment is before us or after us: site by site, in the order of their ids.
  perform
  from relay.site
  where site.removed_at is not null and (p_site_id is null or site.site_id = p_site_id)
  order by site.site_id
  for share;
  select pg_catalog.array_agg(waiting.group_id)
  from (
    select delivery_group.group_id
    from relay.site
    join relay.delivery_group on delivery_group.site_id = site.site_id
    where site.removed_at is not null
      and (p_site_id is null or site.site_id = p_site_id)
      and (
        exists (select from relay.ready where ready.group_id = delivery_group.group_id)
        or exists (select from relay.blocked where blocked.group_id = delivery_group.group_id)
        or exists (
          select
          from relay.hold
          join relay.held on held.hold_id = hold.hold_id
          where hold.group_id = delivery_group.group_id and hold.lifted_at is null
        )
      )
    order by delivery_group.group_id
    limit 1000
  ) as waiting
  into v_groups;
  cancelled := 0;
  in_doubt := 0;
  finished := v_groups is null;
  if finished then
    -- What held single conversions or actions holds nothing any more.
    update relay.hold
    set lifted_at = v_now
    from (
      select idle.hold_id
      from relay.site
      join relay.delivery_group on delivery_group.site_id = site.site_id
      join relay.hold as idle on idle.group_id = delivery_group.group_id
      where site.removed_at is not null
        and (p_site_id is null or site.site_id = p_site_id)
        and idle.lifted_at is null
        and idle.scope in ('row', 'conversion_action')
      for update of idle skip locked
    ) as idle
    where hold.hold_id = idle.hold_id and not exists (select from relay.held where held.hold_id = idle.hold_id);
    return next;
    return;
  end if;
  select ending.* from relay.end_waiting_conversions(v_groups, null, 'SITE_REMOVED', p_limit, v_now) as ending into v_gone;
  cancelled := v_gone.ready + v_gone.held + v_gone.blocked;
  in_doubt := v_gone.in_doubt;
  return next;
end;
$$;

comment on function relay.sweep_removed_sites is
  'Ends as cancelled what waits for sites that were removed, what came back from claims since included; at most p_limit of each '
  'place (1 to 100000). Call again until finished, which says that nothing waited any more. Cheap where there is nothing: a few '
  'looks for each removed site. Raises CR001 for a bad limit. Locks: removed sites in order, rows, metrics.';

grant execute on function relay.sweep_removed_sites to relay_service;
