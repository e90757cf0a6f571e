-- Delivery: the ledger, circuits, slots, metrics, credentials and runs.
-- oldest program: 0.1.0

create table relay.provider_upload_attempts (
  attempt_id bigint not null,
  group_id integer not null,
  site_id uuid not null,
  provider_key text collate "C" not null,
  run_id bigint not null,
  claim_token uuid not null,
  transport text not null,
  request_sha256 text not null,
  conversions integer not null,
  is_probe boolean not null,
  opened_at timestamptz not null,
  closed_at timestamptz,
  state text not null default 'OPEN',
  http_status integer,
  provider_request_id text collate "C",
  error_code text collate "C",
  error_category text collate "C",
  completed_count integer,
  failed_count integer,
  retry_count integer,
  held_count integer,
  submitted_count integer,
  duration_ms integer,
  constraint provider_upload_attempts_pkey primary key (attempt_id),
  constraint provider_upload_attempts_state check (state in ('OPEN', 'CLOSED', 'STALE', 'AMBIGUOUS')),
  constraint provider_upload_attempts_closed check ((state = 'OPEN') = (closed_at is null))
) partition by range (attempt_id);
comment on table relay.provider_upload_attempts is
  'The ledger: one row per request to a provider, written before it leaves and closed once after it. STALE: the answer came '
  'after the claim was lost. AMBIGUOUS: no answer was ever recorded. Partitioned by week.';
create index provider_upload_attempts_open on relay.provider_upload_attempts (claim_token) where closed_at is null;
create index provider_upload_attempts_request on relay.provider_upload_attempts (provider_request_id)
  where provider_request_id is not null;
create index provider_upload_attempts_run on relay.provider_upload_attempts (run_id);

create function relay.refuse_ledger_change()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and old.closed_at is null and new.closed_at is not null
    and (new.attempt_id, new.group_id, new.run_id, new.claim_token, new.request_sha256, new.conversions, new.opened_at)
      = (old.attempt_id, old.group_id, old.run_id, old.claim_token, old.request_sha256, old.conversions, old.opened_at)
  then
    return new;
  end if;
  raise exception 'the ledger is written once and closed once' using errcode = 'CR005';
end;
$$;
comment on function relay.refuse_ledger_change is
  'Lets a ledger row be closed once and refuses every other change with CR005. Retention drops whole partitions.';
create trigger provider_upload_attempts_once
  before update or delete on relay.provider_upload_attempts
  for each row execute function relay.refuse_ledger_change();

create table relay.receipt (
  attempt_id bigint not null,
  group_id integer not null,
  provider_request_id text collate "C" not null,
  state text collate "C" not null default 'PENDING',
  outcome text collate "C",
  code text collate "C",
  polls integer not null default 0,
  next_poll_at timestamptz not null,
  created_at timestamptz not null,
  settled_at timestamptz,
  constraint receipt_pkey primary key (attempt_id),
  constraint receipt_state check (state in ('PENDING', 'SETTLED', 'RESOLVED'))
);
comment on table relay.receipt is
  'One row per request that is answered later. SETTLED: its outcome holds for every conversion whose latest outcome is the '
  'SUBMITTED of this attempt, so that a success is one write. RESOLVED: each conversion has its own later outcome.';
create index receipt_due on relay.receipt (next_poll_at) where state = 'PENDING';

create table relay.provider_health_state (
  group_id integer not null,
  site_id uuid not null,
  provider_key text collate "C" not null,
  state text collate "C" not null default 'CLOSED',
  failure_count integer not null default 0,
  next_probe_at timestamptz,
  probe_limit integer not null default 5,
  epoch integer not null default 0,
  probe_until timestamptz,
  opened_total bigint not null default 0,
  changed_at timestamptz,
  constraint provider_health_state_pkey primary key (group_id),
  constraint provider_health_state_state check (state in ('CLOSED', 'OPEN', 'HALF_OPEN'))
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
comment on table relay.provider_health_state is
  'The circuit of each group. Every change of state is a new epoch; answers of an older one change nothing. probe_until: '
  'when a probe that never answered is due again.';

create table relay.provider_upload_metrics (
  group_id integer not null,
  site_id uuid not null,
  provider_key text collate "C" not null,
  attempts_total bigint not null default 0,
  completed_total bigint not null default 0,
  failed_total bigint not null default 0,
  retry_total bigint not null default 0,
  held_total bigint not null default 0,
  submitted_total bigint not null default 0,
  updated_at timestamptz,
  constraint provider_upload_metrics_pkey primary key (group_id)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
comment on table relay.provider_upload_metrics is 'Running totals per group: conversions by outcome, and requests in attempts_total.';

create table relay.quota (
  quota_key text collate "C" not null,
  slots integer not null default 10,
  throttled_until timestamptz not null default '-infinity',
  constraint quota_pkey primary key (quota_key),
  constraint quota_slots check (slots between 1 and 1000)
) with (fillfactor = 50);
create index quota_throttled on relay.quota (throttled_until) where throttled_until > '-infinity';
comment on table relay.quota is 'What shares one request budget. slots: uploads that may be in flight over all runners.';

create table relay.upload_slot (
  quota_key text collate "C" not null,
  slot_no integer not null,
  claim_token uuid,
  lease_until timestamptz not null default '-infinity',
  constraint upload_slot_pkey primary key (quota_key, slot_no)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
comment on table relay.upload_slot is
  'The semaphore: a row per upload that may be in flight. Rows cannot be overdrawn as counters can, and a crash is an expiry.';

create table relay.vault_key (
  key_version integer not null,
  source text not null,
  wrapped bytea not null,
  created_at timestamptz not null,
  constraint vault_key_pkey primary key (key_version)
);
comment on table relay.vault_key is 'One data key per version, wrapped by its source (KMS, or the local key off production).';

create table relay.provider_credentials (
  group_id integer not null,
  key_version integer not null,
  sealed bytea not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint provider_credentials_pkey primary key (group_id),
  constraint provider_credentials_key_version_fkey foreign key (key_version) references relay.vault_key (key_version)
);
comment on table relay.provider_credentials is 'A site''s credentials at a provider, sealed; site, provider and key version are associated data.';

create table relay.access_token (
  token_key text collate "C" not null,
  key_version integer not null,
  sealed bytea not null,
  expires_at timestamptz not null,
  constraint access_token_pkey primary key (token_key)
) with (fillfactor = 50);
comment on table relay.access_token is 'Access tokens, sealed, shared by all runners. token_key: a digest of client and grant.';

create table relay.task_runs (
  run_id bigint not null,
  task_key text not null,
  scheduled_time timestamptz,
  started_at timestamptz not null,
  ended_at timestamptz,
  status text,
  requests_count bigint not null default 0,
  http_429_count bigint not null default 0,
  errors_count bigint not null default 0,
  notes text,
  counters jsonb not null default '{}',
  constraint task_runs_pkey primary key (run_id),
  constraint task_runs_status check (status in ('DONE', 'PAUSED', 'ERROR', 'SKIPPED')),
  constraint task_runs_ended check ((ended_at is null) = (status is null))
);
comment on table relay.task_runs is 'History: one row per invocation of a task, closed once.';
create index task_runs_task on relay.task_runs (task_key, started_at);

create function relay.refuse_run_change()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and old.ended_at is null and new.ended_at is not null
    and (new.run_id, new.task_key, new.started_at) = (old.run_id, old.task_key, old.started_at)
  then
    return new;
  end if;
  raise exception 'a run is opened once and closed once' using errcode = 'CR005';
end;
$$;
comment on function relay.refuse_run_change is 'Lets a run be closed once and refuses every other change with CR005.';
create trigger task_runs_once
  before update or delete on relay.task_runs
  for each row execute function relay.refuse_run_change();

create table relay.upkeep (
  name text not null,
  done_at timestamptz not null default '-infinity',
  constraint upkeep_pkey primary key (name)
);
comment on table relay.upkeep is 'When a small chore was last done by whoever came by, so that it is done once in its interval.';
insert into relay.upkeep (name) values ('wake_groups');

create table relay.circuit_setting (
  singleton boolean not null default true,
  open_for interval not null,
  constraint circuit_setting_pkey primary key (singleton),
  constraint circuit_setting_singleton check (singleton),
  constraint circuit_setting_open_for check (open_for between interval '1 second' and interval '1 day')
);
comment on table relay.circuit_setting is
  'How long a circuit stays open, a fifth of it at random on top. No row: 5 minutes. The demo shortens it, to show a whole '
  'story in a minute.';

create table relay.expiry_walk (
  singleton boolean not null default true,
  group_id integer not null default 0,
  band smallint not null default 0,
  next_attempt_at timestamptz not null default '-infinity',
  conversion_id bigint not null default 0,
  constraint expiry_walk_pkey primary key (singleton),
  constraint expiry_walk_singleton check (singleton)
);
comment on table relay.expiry_walk is 'Where relay.expire_conversions stopped in relay.ready; group 0 is the beginning.';
insert into relay.expiry_walk default values;
