-- What the queue needs at ten million rows: floors under dead index entries, request budgets, pauses, and a circuit at
-- the provider itself.
-- oldest program: 0.1.0

-- The claim's walk through a group's ordinary rows starts at its floor. Below lie the index entries of rows that are gone
-- but cannot be removed while somebody holds an old snapshot.
alter table relay.delivery_group
  add column floor_at timestamptz not null default '-infinity',
  add column urgent_floor_at timestamptz not null default '-infinity',
  add column floor_until timestamptz not null default '-infinity',
  add column paused_until timestamptz not null default '-infinity',
  add column linger_until timestamptz not null default '-infinity';
comment on column relay.delivery_group.floor_at is
  'No ordinary row of the group is due before this. It stays 30 s behind the clock, because a row that is on its way in '
  'is due no earlier than its transaction began.';
comment on column relay.delivery_group.urgent_floor_at is 'As floor_at, for the rows that expire within 48 hours.';
comment on column relay.delivery_group.paused_until is 'As its row in relay.pause says.';
comment on column relay.delivery_group.linger_until is
  'Until when a batch that is not full waits for more, where requests are scarce. New rows have the group looked at before.';
comment on column relay.delivery_group.floor_until is
  'Until when the floors are believed: then one claim looks without it, and finds what a longer transaction put below it.';

alter table relay.quota
  add column per_minute integer,
  add column per_day integer,
  add column minute_at timestamptz not null default '-infinity',
  add column day_at timestamptz not null default '-infinity',
  add constraint quota_per_minute check (per_minute between 1 and 1000000),
  add constraint quota_per_day check (per_day between 1 and 100000000);
comment on column relay.quota.per_minute is 'Requests in any 60 s, polls included; null: as many as the slots allow.';
comment on column relay.quota.per_day is 'Requests in any 24 h, polls included; null: as many as the slots allow.';
comment on column relay.quota.minute_at is
  'When everything reserved so far would have left at an even pace (the generic cell rate algorithm): what lies ahead of '
  'the clock is the part of the burst that is used. It refills by itself, as time passes.';
comment on column relay.quota.day_at is 'As minute_at, for the day.';
create index quota_limited on relay.quota (quota_key) where per_minute is not null or per_day is not null;

create table relay.provider_circuit (
  provider_key text collate "C" not null,
  state text collate "C" not null default 'CLOSED',
  next_probe_at timestamptz,
  probe_until timestamptz,
  probe_token uuid,
  failure_count integer not null default 0,
  opened_total bigint not null default 0,
  changed_at timestamptz,
  constraint provider_circuit_pkey primary key (provider_key),
  constraint provider_circuit_state check (state in ('CLOSED', 'OPEN', 'HALF_OPEN'))
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
comment on table relay.provider_circuit is
  'The circuit of a whole provider: it opens when more than half of its active groups are open, so that an outage is '
  'probed once. probe_token: the slot_token of the claim that probes; failure_count: probes that failed in a row.';
insert into relay.provider_circuit (provider_key) select distinct delivery_group.provider_key from relay.delivery_group;
grant select on relay.provider_circuit to relay_operator;

create table relay.line (
  provider_key text collate "C" not null,
  floor_at timestamptz not null default '-infinity',
  floor_until timestamptz not null default '-infinity',
  looked_at timestamptz not null default '-infinity',
  constraint line_pkey primary key (provider_key)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
comment on table relay.line is
  'The line of groups of each provider: no group stands in it before floor_at, which is believed until floor_until and was '
  'looked for at looked_at.';
insert into relay.line (provider_key) select distinct delivery_group.provider_key from relay.delivery_group;

insert into relay.upkeep (name) values ('wake_all_groups');

-- Which claims are live, and which have lapsed, without a walk through those that are settled.
create index inflight_lease on relay.inflight (lease_until);

create table relay.pause (
  scope text collate "C" not null,
  provider_key text collate "C" not null,
  site_id uuid,
  reason text not null,
  paused_at timestamptz not null,
  paused_until timestamptz not null,
  constraint pause_scope check (scope in ('provider', 'group') and (scope = 'group') = (site_id is not null))
);
create unique index pause_key on relay.pause (provider_key, coalesce(site_id, '00000000-0000-0000-0000-000000000000'));
comment on table relay.pause is
  'What an operator stopped, until when (infinity: until resumed), and why. A paused provider is not claimed for; a paused '
  'group stands in line at the end of its pause.';
grant select on relay.pause to relay_operator;

create or replace view relay.offline_conversion_queue as
select
  conversion.conversion_id as id,
  delivery_group.site_id,
  delivery_group.provider_key,
  conversion_key.external_id as sale_id,
  case
    when latest.outcome in ('DELIVERED', 'DUPLICATE', 'UNMATCHED', 'SUPERSEDED', 'CONSENT_DENIED') then 'COMPLETED'
    when latest.outcome in ('REJECTED', 'EXPIRED', 'EXHAUSTED', 'CANCELLED', 'UNCONFIRMED') then 'FAILED'
    when latest.outcome = 'SUBMITTED' and receipt.state = 'SETTLED' then
      case
        when receipt.outcome in ('DELIVERED', 'DUPLICATE', 'UNMATCHED', 'SUPERSEDED', 'CONSENT_DENIED') then 'COMPLETED'
        else 'FAILED'
      end
    when latest.outcome = 'SUBMITTED' then 'SUBMITTED'
    when held.conversion_id is not null then 'HELD'
    when waiting.conversion_id is not null and delivery_group.hold_id is not null then 'HELD'
    when waiting.conversion_id is not null and waiting.target is null then 'QUEUED'
    when waiting.conversion_id is not null then 'RETRY'
    else 'PROCESSING'
  end as status,
  case
    when latest.outcome = 'SUBMITTED' and receipt.state = 'SETTLED' then pg_catalog.lower(receipt.outcome)
    else pg_catalog.lower(latest.outcome)
  end as outcome,
  coalesce(latest.retry_count, 0)::integer as retry_count,
  case
    when waiting.conversion_id is null or delivery_group.hold_id is not null then null
    when waiting.next_attempt_at <= circuit.next_probe_at then
      circuit.next_probe_at + pg_catalog.make_interval(secs => (conversion.conversion_id % 31)::double precision)
    else waiting.next_attempt_at
  end as next_retry_at,
  case
    when held.conversion_id is not null then row_hold.code
    when waiting.conversion_id is not null and delivery_group.hold_id is not null then group_hold.code
    when waiting.conversion_id is not null and waiting.next_attempt_at <= circuit.next_probe_at then 'CIRCUIT_OPEN'
    when latest.outcome = 'SUBMITTED' and receipt.state = 'SETTLED' then receipt.code
    when latest.outcome in ('DELIVERED', 'SUBMITTED') then null
    else latest.code
  end as last_error,
  case
    when latest.outcome in ('DELIVERED', 'DUPLICATE', 'UNMATCHED', 'SUBMITTED') then latest.recorded_at
  end as uploaded_at,
  attempt.provider_request_id,
  latest.code as provider_error_code,
  latest.class as provider_error_category,
  working.claimed_at,
  conversion.created_at,
  coalesce(receipt.settled_at, latest.recorded_at, conversion.created_at) as updated_at
from relay.conversion_key
join relay.conversion
  on conversion.conversion_id = conversion_key.conversion_id
  and conversion.external_id = conversion_key.external_id
  and conversion.group_id = conversion_key.group_id
join relay.delivery_group on delivery_group.group_id = conversion_key.group_id
join relay.provider_health_state on provider_health_state.group_id = conversion_key.group_id
-- The circuit that stops the conversion for longer, the group's or the provider's.
cross join lateral (
  select greatest(
    case when provider_health_state.state = 'OPEN' then provider_health_state.next_probe_at end,
    (
      select provider_circuit.next_probe_at
      from relay.provider_circuit
      where provider_circuit.provider_key = delivery_group.provider_key and provider_circuit.state = 'OPEN'
    )
  ) as next_probe_at
) as circuit
left join lateral (
  select outcome.*
  from relay.conversion_outcome as outcome
  where outcome.conversion_id = conversion_key.conversion_id
  order by outcome.seq desc
  limit 1
) as latest on true
left join relay.receipt on latest.outcome = 'SUBMITTED' and receipt.attempt_id = latest.attempt_id
-- With a limit, so that it stays one look into one partition and never becomes a hash of the whole ledger.
left join lateral (
  select ledger.provider_request_id
  from relay.provider_upload_attempts as ledger
  where ledger.attempt_id = latest.attempt_id
  limit 1
) as attempt on true
left join relay.held on held.conversion_id = conversion_key.conversion_id
left join relay.hold as row_hold on row_hold.hold_id = held.hold_id
left join relay.hold as group_hold on group_hold.hold_id = delivery_group.hold_id
-- The whole key of ready is known: see the comment on the table.
left join lateral (
  select ready.conversion_id, ready.next_attempt_at, ready.target
  from relay.ready
  where ready.group_id = conversion_key.group_id
    and ready.band in (0, 1)
    and ready.next_attempt_at = coalesce(latest.next_attempt_at, conversion.due_at)
    and ready.conversion_id = conversion_key.conversion_id
  limit 1
) as waiting on true
left join lateral (
  select inflight.claimed_at
  from relay.inflight
  where waiting.conversion_id is null
    and held.conversion_id is null
    and inflight.group_id = conversion_key.group_id
    and conversion_key.conversion_id = any (inflight.conversion_ids)
  limit 1
) as working on true;
