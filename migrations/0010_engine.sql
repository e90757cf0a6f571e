-- The engine's own state: locks of exclusive tasks, what each task is about, pauses of tasks, and what a run was asked for.
-- oldest program: 0.1.0

create table relay.task_lock (
  lock_id integer not null,
  task_key text collate "C",
  owner text collate "C",
  run_id bigint,
  fence bigint not null default 0,
  acquired_at timestamptz,
  lease_until timestamptz not null default '-infinity',
  constraint task_lock_pkey primary key (lock_id),
  constraint task_lock_held check ((owner is null) = (run_id is null) and (owner is null) = (lease_until = '-infinity'))
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50);
comment on table relay.task_lock is
  'Who runs an exclusive task, until when. fence grows with each owner: what a run writes goes through '
  'relay.hold_task_lock with the fence that it was given, and an owner that was replaced writes nothing more.';

create table relay.task_state (
  task_key text collate "C" not null,
  status text collate "C" not null,
  registered_at timestamptz not null,
  last_run_id bigint,
  last_run_at timestamptz,
  last_success_at timestamptz,
  last_error_at timestamptz,
  error_code text collate "C",
  error_message text,
  consecutive_failures integer not null default 0,
  checkpoint jsonb,
  constraint task_state_pkey primary key (task_key),
  constraint task_state_status check (status in ('IDLE', 'RUNNING', 'PAUSED', 'ERROR'))
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50);
comment on table relay.task_state is
  'What each task is about: IDLE after a success, RUNNING, PAUSED where its last call was, ERROR after a failure. error_code '
  'and error_message are of the last failure and stay after a success, which sets consecutive_failures to 0. checkpoint: '
  'where a long task goes on, as it wrote it.';

create table relay.task_pause (
  task_key text collate "C" not null,
  reason text not null,
  paused_at timestamptz not null,
  paused_until timestamptz not null,
  constraint task_pause_pkey primary key (task_key)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50);
comment on table relay.task_pause is 'Which tasks an operator stopped, until when (infinity: until resumed), and why.';

alter table relay.task_runs
  add column owner text collate "C",
  add column request jsonb,
  add column error_code text collate "C";
comment on column relay.task_runs.owner is 'Which program ran it, and where.';
comment on column relay.task_runs.request is
  'What narrowed the run. A scheduled time is done once a run of the same task with the same request has succeeded.';
comment on column relay.task_runs.error_code is 'Why it failed, or was not begun: LOCKED, PAUSED, DONE.';
create index task_runs_scheduled on relay.task_runs (task_key, scheduled_time)
  where task_runs.scheduled_time is not null and task_runs.status = 'DONE';
-- Runs that have not ended, without a walk through those that have.
create index task_runs_open on relay.task_runs (started_at) where task_runs.ended_at is null;

-- All that a run's end does not set stays as it was opened.
create or replace function relay.refuse_run_change()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and old.ended_at is null and new.ended_at is not null
    and (new.run_id, new.task_key, new.started_at) = (old.run_id, old.task_key, old.started_at)
    and (new.scheduled_time, new.owner, new.request)
      is not distinct from (old.scheduled_time, old.owner, old.request)
  then
    return new;
  end if;
  -- relay.prune_task_runs sets it for as long as it runs.
  if tg_op = 'DELETE' and old.run_id < nullif(pg_catalog.current_setting('relay.prune_runs_before', true), '')::bigint then
    return old;
  end if;
  raise exception 'a run is opened once and closed once' using errcode = 'CR005';
end;
$$;

grant select on relay.task_lock, relay.task_state, relay.task_pause to relay_operator;
