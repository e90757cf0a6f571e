create or replace function relay.tally_deliveries(
  p_window_days integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (day date, groups integer, days_left integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_hours_left integer;
begin
  loop
    select counted.day, counted.days_left, counted.hours_left
    from relay.tally_hours(p_window_days, 1000000, p_now) as counted
    into day, days_left, v_hours_left;
    if not found then
      return;
    end if;
    exit when v_hours_left = 0;
  end loop;
  select pg_catalog.count(*) from relay.delivery_day where delivery_day.day = tally_deliveries.day into groups;
  return next;
end;
$$;

comment on function relay.tally_deliveries is
  'For programs from before relay.tally_hours: a whole day at once, which that counts in parts. Which day, how many groups, how '
  'many days are left. No row: every day is counted. Raises CR001 for a bad window.';

grant execute on function relay.tally_deliveries to relay_service;
