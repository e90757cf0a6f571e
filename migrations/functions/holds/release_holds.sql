create or replace function relay.release_holds(
  p_hold_id bigint,         -- null: every hold that the rest names
  p_provider_key text,      -- null: every provider
  p_site_id uuid,           -- null: every site
  p_code text,              -- null: every code
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (holds integer, sites integer, conversions integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
  c_step constant integer := 100000;
  v_step record;
begin
  holds := 0;
  sites := 0;
  conversions := 0;
  loop
    select step.*
    from relay.release_some_holds(p_hold_id, p_provider_key, p_site_id, p_code, c_step, p_now) as step
    into v_step;
    holds := holds + v_step.holds;
    sites := sites + v_step.sites;
    conversions := conversions + v_step.conversions;
    exit when v_step.is_done;
  end loop;
  return next;
end;
$$;

comment on function relay.release_holds is
  'All steps of relay.release_some_holds in one transaction: for one hold that a probe lifts, and for older programs.';

grant execute on function relay.release_holds to relay_service;
