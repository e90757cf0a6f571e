create or replace function relay.prune_holds(
  p_lifted_before timestamptz,
  p_limit integer
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_holds integer;
begin
  with old as materialized (
    select hold.hold_id
    from relay.hold
    where hold.lifted_at < p_lifted_before
      and not exists (select from relay.held where held.hold_id = hold.hold_id)
      and not exists (select from relay.delivery_group where delivery_group.hold_id = hold.hold_id)
    limit p_limit
    for update skip locked
  )
  delete from relay.hold using old where hold.hold_id = old.hold_id;
  get diagnostics v_holds = row_count;
  return v_holds;
end;
$$;

comment on function relay.prune_holds is
  'Deletes at most p_limit holds that were lifted before a time and hold nothing, and says how many. Called by prune_history.';
