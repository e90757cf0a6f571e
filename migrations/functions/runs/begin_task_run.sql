create or replace function relay.begin_task_run(
  p_task_key text,
  p_owner text,
  p_provider_key text,             -- null: no provider's pause stops it
  p_scheduled_time timestamptz,    -- null: somebody asked by hand
  p_request jsonb,
  p_lock_id integer,               -- null: any number may run at once
  p_lease_seconds integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (run_id bigint, verdict text, fence bigint, checkpoint jsonb)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_run_id bigint := relay.new_id(v_now);
  v_verdict text := 'GO';
  v_notes text;
  v_fence bigint;
  v_gone_run bigint;
  v_is_free boolean;
begin
  if p_task_key = '' or p_owner = '' or p_lease_seconds not between 1 and 3600 then
    raise exception 'p_task_key and p_owner must say something, p_lease_seconds must lie in 1 to 3600' using errcode = 'CR001';
  end if;
  -- Whatever runs at all keeps the weeks ahead: nobody else need remember to.
  if not relay.has_partition(v_now + interval '28 days') or not relay.has_partition(v_now) then
    perform relay.keep_partitions(8, v_now);
  end if;
  perform relay.register_tasks(array[p_task_key], v_now);
  -- The lock first: a run that ended a moment ago is seen by whoever has its lock, and its time is done.
  if p_lock_id is not null then
    insert into relay.task_lock (lock_id)
    select p_lock_id
    where not exists (select from relay.task_lock where task_lock.lock_id = p_lock_id)
    on conflict do nothing;
    -- Where its owner is writing at this moment the row is locked, and the lock is not to be had either.
    select task_lock.fence + 1, task_lock.run_id
    from relay.task_lock
    where task_lock.lock_id = p_lock_id and task_lock.lease_until <= v_now
    for update skip locked
    into v_fence, v_gone_run;
    v_is_free := found;
  end if;
  if exists (
    select
    from relay.task_runs
    where task_runs.task_key = p_task_key
      and task_runs.scheduled_time = p_scheduled_time
      and task_runs.status = 'DONE'
      and task_runs.request = p_request
  ) then
    v_verdict := 'DONE';
  end if;
  if v_verdict = 'GO' then
    select stopped.reason
    from (
      select task_pause.reason, task_pause.paused_until
      from relay.task_pause
      where task_pause.task_key = p_task_key
      union all
      select pause.reason, pause.paused_until
      from relay.pause
      where pause.provider_key = p_provider_key and pause.scope = 'provider'
    ) as stopped
    where stopped.paused_until > v_now
    order by stopped.paused_until desc
    limit 1
    into v_notes;
    if found then
      v_verdict := 'PAUSED';
    end if;
  end if;
  if v_verdict = 'GO' and p_lock_id is not null then
    if not v_is_free then
      v_verdict := 'LOCKED';
    else
      update relay.task_lock
      set
        task_key = p_task_key,
        owner = p_owner,
        run_id = v_run_id,
        fence = v_fence,
        acquired_at = v_now,
        lease_until = v_now + pg_catalog.make_interval(secs => p_lease_seconds)
      where task_lock.lock_id = p_lock_id;
      -- Whoever had it is gone without a word.
      perform relay.close_lost_run(v_gone_run, v_now);
    end if;
  end if;
  insert into relay.task_runs (run_id, task_key, scheduled_time, started_at, owner, request, ended_at, status, notes, error_code)
  values (
    v_run_id, p_task_key, p_scheduled_time, v_now, p_owner, p_request,
    case when v_verdict <> 'GO' then v_now end,
    case v_verdict when 'GO' then null when 'PAUSED' then 'PAUSED' else 'SKIPPED' end,
    v_notes,
    nullif(v_verdict, 'GO')
  );
  update relay.task_state
  set
    status = case v_verdict when 'GO' then 'RUNNING' else 'PAUSED' end,
    last_run_id = case v_verdict when 'GO' then v_run_id else task_state.last_run_id end,
    last_run_at = case v_verdict when 'GO' then v_now else task_state.last_run_at end
  where task_state.task_key = p_task_key
    and (v_verdict = 'GO' or v_verdict = 'PAUSED' and task_state.status <> 'RUNNING');
  return query
  select v_run_id, v_verdict, case v_verdict when 'GO' then v_fence end, task_state.checkpoint
  from relay.task_state
  where task_state.task_key = p_task_key;
end;
$$;

comment on function relay.begin_task_run is
  'Opens the history row of one invocation of a task and says what comes of it. GO: it runs, with the lock where it asked for '
  'one, and fence proves it. DONE: a run of the same scheduled time and request has succeeded. PAUSED: an operator, or a rate '
  'limit of its provider, stopped it. LOCKED: another run has the lock. What does not go is closed at once. Makes partitions '
  'where fewer than four weeks lie ahead. Never waits for another run. Raises CR001 for bad arguments.';

grant execute on function relay.begin_task_run to relay_service;
