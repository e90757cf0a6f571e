-- Every answer: parts that are left out, holds of a client and of the platform, holds that end by themselves, receipts.
-- oldest program: 0.1.0

-- Conversions that go again without an optional part, and those that go together to find out whom a receipt means.

alter table relay.ready
  add column omitted smallint not null default 0,
  add column part bigint;
comment on table relay.ready is
  'The only hot table: what waits for a claim. Band 0 expires within 48 hours and goes first. A row leaves when it is '
  'claimed and comes back with a new seq; its next_attempt_at equals that of its latest outcome (or the conversion''s '
  'due_at), which is how the view finds it without a second index. target: where it was sent first; failed_epoch and '
  'request_failures: whole requests that failed with it since the circuit last changed; omitted: optional parts that are '
  'left out, as bits (shared/src/domain/omitted.rs); part: conversions of one part go in one request, and nothing else with '
  'them, so that its receipt speaks for them alone.';

alter table relay.inflight
  add column omitted smallint[],
  add column parts bigint[],
  add column receipt_attempt_id bigint;
comment on table relay.inflight is
  'One row per claimed batch; the arrays run side by side, one entry per conversion. Deleting it is the completion and the '
  'fence in one. slot_token: the claim that took the slot, the same for all parts that a claim was cut into. sent_targets: '
  'where the open request went, one entry per conversion or a single one for all. omitted, parts: null where no conversion '
  'has any. receipt_attempt_id: the request whose receipt is taken apart by this claim, which sends nothing and has no slot.';

alter table relay.held add column omitted smallint not null default 0;

alter table relay.conversion_outcome add column omitted smallint;
comment on table relay.conversion_outcome is
  'What became of a conversion in each claim, and by each hand between two claims: append-only, seq without gap or double. '
  'next_attempt_at is set where the conversion went back to ready; sent_target where a dead letter may have been delivered, '
  'so that it never goes elsewhere; omitted: the optional parts that it goes on without. Partitioned with relay.conversion.';

-- Holds.

alter table relay.delivery_group
  add column client_key text collate "C",
  add column transport text collate "C";
comment on table relay.delivery_group is
  'One (site, provider): the unit of credentials, circuit and fairness. turn_at is both the rotation and the alarm clock: '
  'a group with due rows stands in line with the time of its last turn, one with later rows with the earliest of them, '
  'one with none, or held, at infinity. What is paused, held or open thereby costs the claim nothing. client_key: a digest '
  'of its OAuth client; transport: the way that its conversions take. Both null for credentials that were stored before '
  'either was kept. hold_id: the hold that stops the group, its own or one of its client or platform.';
create index delivery_group_client on relay.delivery_group (client_key) where client_key is not null;

alter table relay.hold
  add column provider_key text collate "C",
  add column lifts_at timestamptz;
comment on table relay.hold is
  'A stop that waits for a mend. Open while lifted_at is null; one open hold per group, scope and key, and one per provider '
  'for a client (scope_key: its client_key) or a whole transport (scope provider, scope_key: the transport): those have '
  'group_id for the group that met it first and stop every group that names it in delivery_group.hold_id. lifts_at: a hold '
  'that ends by itself, and parks nothing: its conversions are put off until then.';
create unique index hold_open_wide on relay.hold (provider_key, scope, scope_key)
  where lifted_at is null and provider_key is not null;
create index hold_lifts on relay.hold (lifts_at) where lifted_at is null and lifts_at is not null;

-- Receipts.

alter table relay.receipt
  add column conversion_ids bigint[] not null default '{}',
  add column targets bigint[] not null default '{}',
  add column maybe_delivered boolean not null default false,
  add column run_id bigint;
comment on table relay.receipt is
  'One row per request that is answered later. SETTLED: its outcome holds for every conversion whose latest outcome is the '
  'SUBMITTED of this attempt, so that a success is one write. RESOLVED: each conversion has its own later outcome. '
  'conversion_ids: those conversions; targets: where each went, or a single entry for all. next_poll_at: moved on before a '
  'poll leaves, so that nobody else polls meanwhile and a crash is made good. maybe_delivered: an earlier request may have '
  'delivered one of them, so that a duplicate is ours. run_id: the last run that asked, which does not ask twice.';
update relay.receipt
set
  conversion_ids = submitted.conversion_ids,
  targets = array[coalesce(submitted.target, 0)]
from (
  select
    outcome.attempt_id, pg_catalog.array_agg(outcome.conversion_id order by outcome.conversion_id) as conversion_ids,
    pg_catalog.max(outcome.sent_target) as target
  from relay.conversion_outcome as outcome
  where outcome.outcome = 'SUBMITTED'
  group by outcome.attempt_id
) as submitted
where submitted.attempt_id = receipt.attempt_id;
