-- Conversions: who they belong to, what they say, where they wait, and what became of them.
-- oldest program: 0.1.0

create sequence relay.id_seq minvalue 0 maxvalue 4194303 cycle;
comment on sequence relay.id_seq is 'The low 22 bits of every time-ordered id; see relay.id_floor.';

create table relay.site (
  site_id uuid not null,
  default_country text,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint site_pkey primary key (site_id),
  constraint site_default_country check (default_country ~ '^[A-Z]{2}$')
);
comment on table relay.site is 'One advertiser. default_country is how its national phone numbers are read.';

create table relay.delivery_group (
  group_id integer generated always as identity,
  site_id uuid not null,
  provider_key text collate "C" not null,
  quota_key text collate "C",
  hold_id bigint,
  turn_at timestamptz not null default 'infinity',
  throttled_until timestamptz not null default '-infinity',
  circuit_until timestamptz not null default '-infinity',
  created_at timestamptz not null,
  constraint delivery_group_pkey primary key (group_id),
  constraint delivery_group_site_provider_key unique (site_id, provider_key)
) with (fillfactor = 70);
comment on table relay.delivery_group is
  'One (site, provider): the unit of credentials, circuit and fairness. turn_at is both the rotation and the alarm clock: '
  'a group with due rows stands in line with the time of its last turn, one with later rows with the earliest of them, '
  'one with none, or held, at infinity. What is paused, held or open thereby costs the claim nothing.';
create index delivery_group_turn on relay.delivery_group (provider_key, turn_at, group_id) where turn_at < 'infinity';

create index delivery_group_held on relay.delivery_group (hold_id) where hold_id is not null;

create table relay.conversion_key (
  external_id text collate "C" not null,
  group_id integer not null,
  conversion_id bigint not null,
  digest bytea not null,
  constraint conversion_key_pkey primary key (external_id, group_id)
);
comment on table relay.conversion_key is
  'Each conversion once per (site, provider, external id). Not partitioned by time: a sale sent again months later must '
  'meet its key. digest: the first 16 bytes of the content''s SHA-256, to tell a repetition from a conflict.';

create table relay.conversion (
  conversion_id bigint not null,
  group_id integer not null,
  external_id text collate "C" not null,
  kind text collate "C" not null,
  due_at timestamptz not null,
  expires_at timestamptz not null,
  created_at timestamptz not null,
  payload jsonb not null,
  constraint conversion_pkey primary key (conversion_id)
) partition by range (conversion_id);
comment on table relay.conversion is 'What was said, once and for ever: never updated. Partitioned by week.';

create table relay.ready (
  group_id integer not null,
  conversion_id bigint not null,
  next_attempt_at timestamptz not null,
  expires_at timestamptz not null,
  target bigint,
  seq integer not null,
  failed_epoch integer not null default 0,
  band smallint not null,
  retry_count smallint not null default 0,
  request_failures smallint not null default 0,
  lost_claims smallint not null default 0,
  maybe_delivered boolean not null default false,
  constraint ready_pkey primary key (group_id, band, next_attempt_at, conversion_id),
  constraint ready_band check (band in (0, 1))
) with (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_cost_delay = 0
);
comment on table relay.ready is
  'The only hot table: what waits for a claim. Band 0 expires within 48 hours and goes first. A row leaves when it is '
  'claimed and comes back with a new seq; its next_attempt_at equals that of its latest outcome (or the conversion''s '
  'due_at), which is how the view finds it without a second index. target: where it was sent first; failed_epoch and '
  'request_failures: whole requests that failed with it since the circuit last changed.';

create table relay.inflight (
  claim_token uuid not null,
  run_id bigint not null,
  group_id integer not null,
  circuit_epoch integer not null,
  is_probe boolean not null,
  quota_key text collate "C" not null,
  slot_no integer not null,
  slot_token uuid not null,
  conversion_ids bigint[] not null,
  seqs integer[] not null,
  retry_counts smallint[] not null,
  request_failures smallint[] not null,
  lost_claims smallint[] not null,
  maybe_delivered boolean[] not null,
  targets bigint[] not null,
  sent_targets bigint[],
  claimed_at timestamptz not null,
  lease_until timestamptz not null,
  constraint inflight_pkey primary key (claim_token)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
comment on table relay.inflight is
  'One row per claimed batch; the arrays run side by side, one entry per conversion. Deleting it is the completion and the '
  'fence in one. slot_token: the claim that took the slot, the same for all parts that a claim was cut into. sent_targets: where the open request went, one entry per conversion or a single one for all.';

create table relay.hold (
  hold_id bigint generated always as identity,
  group_id integer not null,
  scope text not null,
  scope_key text not null,
  code text not null,
  opened_at timestamptz not null,
  lifted_at timestamptz,
  constraint hold_pkey primary key (hold_id),
  constraint hold_scope check (scope in ('row', 'conversion_action', 'site', 'client', 'provider'))
);
comment on table relay.hold is 'A stop that waits for a mend. Open while lifted_at is null; one open hold per group, scope and key.';
create unique index hold_open on relay.hold (group_id, scope, scope_key) where lifted_at is null;

create table relay.held (
  conversion_id bigint not null,
  group_id integer not null,
  hold_id bigint not null,
  seq integer not null,
  retry_count smallint not null,
  target bigint,
  maybe_delivered boolean not null,
  expires_at timestamptz not null,
  constraint held_pkey primary key (conversion_id)
);
comment on table relay.held is
  'Conversions parked by a hold of their own or of their conversion action. A hold of the whole group parks nothing: the '
  'claim does not visit the group, and its rows stay in ready.';
create index held_hold on relay.held (hold_id);
create index held_expires on relay.held (expires_at);

create table relay.conversion_outcome (
  conversion_id bigint not null,
  attempt_id bigint,
  sent_target bigint,
  next_attempt_at timestamptz,
  recorded_at timestamptz not null,
  seq integer not null,
  retry_count smallint not null default 0,
  outcome text collate "C" not null,
  class text collate "C",
  code text collate "C",
  constraint conversion_outcome_pkey primary key (conversion_id, seq)
) partition by range (conversion_id);
comment on table relay.conversion_outcome is
  'What became of a conversion in each claim, and by each hand between two claims: append-only, seq without gap or double. '
  'next_attempt_at is set where the conversion went back to ready; sent_target where a dead letter may have been delivered, '
  'so that it never goes elsewhere. Partitioned with relay.conversion.';
-- Dead letters, found by their code without a walk through history.
create index conversion_outcome_dead on relay.conversion_outcome (code, conversion_id)
  where outcome in ('REJECTED', 'EXHAUSTED', 'UNCONFIRMED');
