-- Gauges: the figures that dashboards, alarms and `relay status` read, taken once a minute by one task.
-- oldest program: 0.1.0

create table relay.gauge (
  provider_key text collate "C" not null,
  place integer not null,
  site_id uuid,
  taken_at timestamptz not null,
  groups integer not null,
  backlog bigint not null,
  oldest_waiting_at timestamptz,
  at_risk bigint not null,
  held bigint not null,
  processing bigint not null,
  submitted bigint not null,
  oldest_submitted_at timestamptz,
  dead_letters bigint not null,
  held_groups integer not null,
  open_circuits integer not null,
  silent_groups integer not null,
  attempts_total bigint not null,
  completed_total bigint not null,
  failed_total bigint not null,
  retry_total bigint not null,
  completed_last_hour bigint,
  failed_last_hour bigint,
  retry_last_hour bigint,
  stale_outcomes_last_hour bigint,
  last_hour_from timestamptz,
  circuit text collate "C",
  next_probe_at timestamptz,
  hold_code text collate "C",
  last_settled_at timestamptz,
  last_arrival_at timestamptz,
  usual_gap_seconds double precision,
  approximate text[] not null default '{}',
  constraint gauge_pkey primary key (provider_key, place),
  constraint gauge_place check ((place = 0) = (site_id is null))
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
comment on table relay.gauge is
  'The figures of relay.take_gauges, as of taken_at. place 0: a provider as a whole (provider_key *: all of them together); '
  'from 1 on its groups, the worst first, as many as were asked for. approximate names the figures of the row that are '
  'estimates, or a least where counting stopped. The figures of the last hour, of whole providers only, are since '
  'last_hour_from.';

create table relay.gauge_mark (
  provider_key text collate "C" not null,
  marked_at timestamptz not null,
  completed_total bigint not null,
  failed_total bigint not null,
  retry_total bigint not null,
  constraint gauge_mark_pkey primary key (provider_key, marked_at)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
comment on table relay.gauge_mark is
  'What each provider had counted in relay.provider_upload_metrics at each minute of the last hour: what was added since is '
  'what the hour brought.';

-- When conversions came in, per group: a row that is there anyway, written at most once a minute.
alter table relay.provider_upload_metrics
  add column last_arrival_at timestamptz,
  add column usual_gap_seconds double precision,
  add column arrivals bigint not null default 0;
comment on column relay.provider_upload_metrics.last_arrival_at is
  'When a conversion last came in, to the minute: one within a minute of another is not written down.';
comment on column relay.provider_upload_metrics.usual_gap_seconds is
  'The longest that the group usually is without a conversion: the longest of its gaps, where half of one is forgotten in a '
  'week. So a night and a weekend are usual to who has them.';
comment on column relay.provider_upload_metrics.arrivals is 'Minutes in which a conversion came in and was written down.';

grant select on relay.gauge to relay_operator;
