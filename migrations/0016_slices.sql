-- In slices: a history too long for one statement is proven, and a day too full for one is counted, piece by piece.
-- oldest program: 0.1.0

create function relay.account_fault(
  p_conversion_id bigint,
  p_known bigint,
  p_outcomes bigint,
  p_first_seq integer,
  p_latest integer,
  p_place_seq integer,
  p_pruned_from bigint,
  p_pruned_to bigint
)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when account.conversions = 0 and account.keys > 0 then 'a key without its conversion'
    when account.conversions = 0 and p_outcomes > 0 then 'outcomes without their conversion'
    when (account.conversions = 0 or account.keys = 0) and account.places > 0 then 'waits without a key'
    -- Pruning takes the keys first, then the outcomes, then the conversions.
    when account.keys = 0 and p_conversion_id between p_pruned_from and p_pruned_to then null
    when account.keys = 0 then 'a conversion without its key'
    when account.keys > 1 then 'a conversion of several keys'
    when p_first_seq <> 1 or account.last_seq <> p_outcomes then 'gap or double in the sequence'
    when account.places not in (0, 1, 32, 1024, 32768) or (account.places = 0) <> (account.leads > 0)
      then 'not in exactly one place'
    when p_place_seq <> account.last_seq then 'sequence of the place does not follow its history'
  end
  from (
    select
      p_known % 32 as keys,
      p_known / 32 % 32 as conversions,
      p_known / 1024 as places,
      coalesce(p_latest / 4, 0) as last_seq,
      coalesce(p_latest % 4, 0) as leads
  ) as account;
$$;
comment on function relay.account_fault is
  'The first fault in what the tables know of a conversion, null where there is none. p_known and p_latest are those of '
  'relay.conversion_said, summed and the greatest; p_pruned_from and p_pruned_to those of relay.prune_walk.';

create function relay.account_detail(
  p_known bigint,
  p_outcomes bigint,
  p_first_seq integer,
  p_latest integer,
  p_place_seq integer
)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select pg_catalog.format(
    'keys %s, conversions %s, waiting %s, in flight %s, held %s, blocked %s at seq %s; outcomes %s, seq %s to %s, which %s',
    p_known % 32, p_known / 32 % 32, p_known / 1024 % 32, p_known / 32768 % 32, p_known / 1048576 % 32,
    p_known / 33554432, coalesce(p_place_seq::text, '-'), p_outcomes, coalesce(p_first_seq::text, '-'),
    coalesce(p_latest / 4, 0),
    (array['goes on', 'completed', 'failed', 'is submitted'])[coalesce(p_latest % 4, 0) + 1]
  );
$$;
comment on function relay.account_detail is 'The figures of relay.account_fault in words.';

create view relay.conversion_said as
-- Every table but the keys and relay.ready says which conversions it knows of. It is as narrow as it can be: known has five bits for each
-- table, latest carries where the latest outcome leads (0 goes on, 1 completed, 2 failed, 3 submitted) beside its seq.
select conversion.conversion_id, 32 as known, null::integer as seq, null::integer as latest, null::integer as place_seq
from relay.conversion
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
from relay.conversion_outcome as outcome;
comment on view relay.conversion_said is
  'What each table but relay.conversion_key and relay.ready says of a conversion, for the proof of accounting. A range of '
  'conversion_id is read by the indexes of all but relay.inflight, which is small; those two have none for it.';

-- As it was, over the view above, with the sums that a fault is told from.
create or replace view relay.conversion_account as
-- One aggregate brings everything together: no join, and what does not fit into memory goes to disk in parts.
with said as (
  select conversion_key.conversion_id, 1 as known, null::integer as seq, null::integer as latest, null::integer as place_seq
  from relay.conversion_key
  union all
  select ready.conversion_id, 1024, null, null, ready.seq
  from relay.ready
  union all
  select conversion_said.conversion_id, conversion_said.known, conversion_said.seq, conversion_said.latest, conversion_said.place_seq
  from relay.conversion_said
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
)
select
  summed.conversion_id,
  summed.known % 32 as keys,
  summed.known / 32 % 32 as conversions,
  summed.known / 1024 % 32 as waiting,
  summed.known / 32768 % 32 as in_flight,
  summed.known / 1048576 % 32 as held,
  summed.outcomes,
  summed.first_seq,
  coalesce(summed.latest / 4, 0) as last_seq,
  coalesce(summed.latest % 4, 0) as leads,
  summed.place_seq,
  case
    -- Nearly all of them: a key, a conversion, and an end.
    when summed.known = 33 and summed.latest % 4 > 0 and summed.first_seq = 1 and summed.latest / 4 = summed.outcomes then null
    -- And a key, a conversion, and one place.
    when summed.known in (1057, 32801, 1048609, 33554465)
      and coalesce(summed.latest % 4, 0) = 0
      and coalesce(summed.first_seq, 1) = 1
      and summed.outcomes = summed.place_seq
      and coalesce(summed.latest / 4, 0) = summed.place_seq
      then null
    else relay.account_fault(
      summed.conversion_id, summed.known, summed.outcomes, summed.first_seq, summed.latest, summed.place_seq,
      prune_walk.id_from, prune_walk.conversion_id
    )
  end as fault,
  summed.known / 33554432 as blocked,
  summed.known,
  summed.latest
from summed
cross join relay.prune_walk;
comment on view relay.conversion_account is
  'What the tables know of each conversion, and the first fault in that: the proof of accounting, for relay.audit_accounts. '
  'Walks everything.';

alter table relay.scored_day add column hours smallint not null default 24;
alter table relay.scored_day add constraint scored_day_hours check (hours between 0 and 24);
comment on column relay.scored_day.hours is 'How many of its hours, from the first one on, stand in relay.delivery_day.';

-- A fifth of a day's requests may go at once, no longer half. Of the burst the same part stays used: read by the new pace, what
-- was booked by the old one would stop a busy key for most of a day.
update relay.quota
set
  day_at = booked.now + (quota.day_at - booked.now) * (
    (booked.fifth / (quota.per_day - booked.fifth + 1)) / (booked.half / (quota.per_day - booked.half + 1))
  )
from (
  select
    limits.quota_key, pg_catalog.clock_timestamp() as now, greatest(1, limits.per_day / 5)::double precision as fifth,
    greatest(1, limits.per_day / 2)::double precision as half
  from relay.quota as limits
  where limits.per_day is not null
) as booked
where booked.quota_key = quota.quota_key and quota.day_at > booked.now;
