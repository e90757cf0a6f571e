create or replace function relay.note_arrivals(
  p_group_ids integer[],
  p_now timestamptz default null  -- last; only tests set the clock
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- As in relay.call_groups: a plan that was made while there were few groups would read all of them for ever.
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
declare
  c_week_seconds constant double precision := 604800;
  -- Until so many have been seen, every gap is taken as it comes.
  c_learnt constant bigint := 5;
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_noted integer;
begin
  with due as materialized (
    -- Who notes it at this moment notes it for us too: nobody waits here.
    select metrics.group_id, extract(epoch from v_now - metrics.last_arrival_at)::double precision as gap
    from unnest(p_group_ids) as come (group_id)
    join relay.provider_upload_metrics as metrics on metrics.group_id = come.group_id
    where metrics.last_arrival_at is null or metrics.last_arrival_at <= v_now - interval '1 minute'
    order by metrics.group_id
    for no key update of metrics skip locked
  )
  update relay.provider_upload_metrics as metrics
  set
    last_arrival_at = v_now,
    arrivals = metrics.arrivals + 1,
    usual_gap_seconds = case
      when due.gap is null then metrics.usual_gap_seconds
      else greatest(
        metrics.usual_gap_seconds * pg_catalog.power(0.5::double precision, due.gap / c_week_seconds),
        -- A silence that was told of is no custom yet.
        case when metrics.arrivals < c_learnt then due.gap else least(due.gap, 3 * metrics.usual_gap_seconds) end
      )
    end
  from due
  where metrics.group_id = due.group_id;
  get diagnostics v_noted = row_count;
  return v_noted;
end;
$$;

comment on function relay.note_arrivals is
  'Notes that conversions of these groups (each once) came in, and after what gap, at most once a minute for each; says of how '
  'many it did. Waits for nobody: whoever has a row locked is passed over. Called by functions, as their last write.';
