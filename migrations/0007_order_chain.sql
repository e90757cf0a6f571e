-- The order chain: of the writes of one order (a conversion and its adjustments) one is in flight, and the newest wins.
-- oldest program: 0.1.0

alter table relay.conversion add column order_hash uuid;
comment on column relay.conversion.order_hash is
  'Which order it writes, in its group: the first 16 bytes of the SHA-256 of its conversion action and its order id, or its '
  'external id where it names none. Null where an older program took it in: then no chain knows of it.';

create table relay.order_chain (
  group_id integer not null,
  order_hash uuid not null,
  head bigint not null,
  written_at timestamptz,
  original text collate "C",
  constraint order_chain_pkey primary key (group_id, order_hash),
  constraint order_chain_original check (original in ('delivered', 'failed'))
) with (
  fillfactor = 80,
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
  autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000
);
comment on table relay.order_chain is
  'One row per order that named itself, or was adjusted. head: the conversion that may be written now, or was last; all '
  'others wait in relay.blocked. Once the head is over, whoever comes next learns from its outcome: written_at is the '
  'occurred_at of the newest value (conversion, restatement, retraction) that the provider has, or may have; original is '
  'delivered, failed (and nothing was ever written), or null where we do not know. A conversion that names no order and '
  'was never adjusted has no row: an adjustment finds it by its key.';

create table relay.blocked (
  conversion_id bigint not null,
  group_id integer not null,
  order_hash uuid not null,
  head bigint not null,
  kind text collate "C" not null,
  occurred_at timestamptz not null,
  expires_at timestamptz not null,
  target bigint,
  seq integer not null,
  retry_count smallint not null default 0,
  omitted smallint not null default 0,
  maybe_delivered boolean not null default false,
  constraint blocked_pkey primary key (conversion_id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
comment on table relay.blocked is
  'Writes of an order that wait for the one that may be written now (head, the same as in their chain). Written under the '
  'lock of their chain, but for those that expire.';
create index blocked_chain on relay.blocked (group_id, order_hash);
create index blocked_head on relay.blocked (head);
create index blocked_expires on relay.blocked (expires_at);

create table relay.order_call (
  call_at timestamptz not null,
  call_id bigint generated always as identity,
  group_id integer not null,
  order_hash uuid not null,
  constraint order_call_pkey primary key (call_at, call_id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
comment on table relay.order_call is
  'Orders to be looked at, and when: the head of one with something blocked is over, or may be. Only ever added to, so that '
  'whoever settles waits for nobody; relay.free_orders takes them away. Several of one order do no harm.';
create index order_call_chain on relay.order_call (group_id, order_hash);

-- As it was, and what is blocked: it waits, and says for what.
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
    when coalesce(waiting.conversion_id, blocked.conversion_id) is not null and delivery_group.hold_id is not null then 'HELD'
    when coalesce(waiting.conversion_id, blocked.conversion_id) is not null and coalesce(waiting.target, blocked.target) is null
      then 'QUEUED'
    when coalesce(waiting.conversion_id, blocked.conversion_id) is not null then 'RETRY'
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
    when coalesce(waiting.conversion_id, blocked.conversion_id) is not null and delivery_group.hold_id is not null
      then group_hold.code
    when blocked.conversion_id is not null then 'ORDER_BUSY'
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
left join relay.blocked on blocked.conversion_id = conversion_key.conversion_id
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
    and blocked.conversion_id is null
    and inflight.group_id = conversion_key.group_id
    and conversion_key.conversion_id = any (inflight.conversion_ids)
  limit 1
) as working on true;

-- As it was, with one more place.
create or replace view relay.conversion_account as
-- Every table says which conversions it knows of, and one aggregate brings that together: no join, and what does not fit
-- into memory goes to disk in parts. It is as narrow as it can be: known has five bits for each table, latest
-- carries where the latest outcome leads (0 goes on, 1 completed, 2 failed, 3 submitted) beside its seq.
with said (conversion_id, known, seq, latest, place_seq) as (
  select conversion_key.conversion_id, 1, null::integer, null::integer, null::integer
  from relay.conversion_key
  union all
  select conversion.conversion_id, 32, null, null, null
  from relay.conversion
  union all
  select ready.conversion_id, 1024, null, null, ready.seq
  from relay.ready
  union all
  select part.conversion_id, 32768, null, null, part.seq - 1
  from relay.inflight
  cross join lateral unnest(inflight.conversion_ids, inflight.seqs) as part (conversion_id, seq)
  union all
  select held.conversion_id, 1048576, null, null, held.seq
  from relay.held
  union all
  select blocked.conversion_id, 33554432, null, null, blocked.seq
  from relay.blocked
  union all
  select
    outcome.conversion_id, 0, outcome.seq,
    outcome.seq * 4 + case
      when outcome.outcome in ('DELIVERED', 'DUPLICATE', 'UNMATCHED', 'SUPERSEDED', 'CONSENT_DENIED') then 1
      when outcome.outcome in ('REJECTED', 'EXPIRED', 'EXHAUSTED', 'CANCELLED', 'UNCONFIRMED') then 2
      when outcome.outcome = 'SUBMITTED' then 3
      else 0
    end,
    null
  from relay.conversion_outcome as outcome
), summed as (
  select
    said.conversion_id,
    pg_catalog.sum(said.known) as known,
    pg_catalog.count(said.seq) as outcomes,
    pg_catalog.min(said.seq) as first_seq,
    pg_catalog.max(said.latest) as latest,
    pg_catalog.max(said.place_seq) as place_seq
  from said
  group by said.conversion_id
), standing as (
  select
    summed.conversion_id,
    summed.known,
    summed.known % 32 as keys,
    summed.known / 32 % 32 as conversions,
    summed.known / 1024 % 32 as waiting,
    summed.known / 32768 % 32 as in_flight,
    summed.known / 1048576 % 32 as held,
    summed.known / 33554432 as blocked,
    summed.known / 1024 as places,
    summed.outcomes,
    summed.first_seq,
    coalesce(summed.latest / 4, 0) as last_seq,
    coalesce(summed.latest % 4, 0) as leads,
    summed.place_seq
  from summed
)
select
  standing.conversion_id, standing.keys, standing.conversions, standing.waiting, standing.in_flight, standing.held,
  standing.outcomes, standing.first_seq, standing.last_seq, standing.leads, standing.place_seq,
  case
    -- Nearly all of them: a key, a conversion, and an end.
    when standing.known = 33 and standing.leads > 0 and standing.first_seq = 1 and standing.last_seq = standing.outcomes then null
    when standing.conversions = 0 and standing.keys > 0 then 'a key without its conversion'
    when standing.conversions = 0 and standing.outcomes > 0 then 'outcomes without their conversion'
    when (standing.conversions = 0 or standing.keys = 0) and standing.places > 0 then 'waits without a key'
    -- Pruning takes the keys first, then the outcomes, then the conversions.
    when standing.keys = 0 and standing.conversion_id between prune_walk.id_from and prune_walk.conversion_id then null
    when standing.keys = 0 then 'a conversion without its key'
    when standing.keys > 1 then 'a conversion of several keys'
    when standing.first_seq <> 1 or standing.last_seq <> standing.outcomes then 'gap or double in the sequence'
    when standing.places not in (0, 1, 32, 1024, 32768) or (standing.places = 0) <> (standing.leads > 0)
      then 'not in exactly one place'
    when standing.place_seq <> standing.last_seq then 'sequence of the place does not follow its history'
  end as fault,
  standing.blocked
from standing
cross join relay.prune_walk;
comment on view relay.conversion_account is
  'What the tables know of each conversion, and the first fault in that: the proof of accounting, for relay.audit_accounts. '
  'Walks everything.';
