-- A long life: history goes by whole weeks, vacuum keeps up by itself, and the accounts say their totals.
-- oldest program: 0.1.0

-- Pruning.

create table relay.prune_walk (
  singleton boolean not null default true,
  id_from bigint not null default 0,
  id_to bigint not null default 0,
  conversion_id bigint not null default 0,
  constraint prune_walk_pkey primary key (singleton),
  constraint prune_walk_singleton check (singleton)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50);
comment on table relay.prune_walk is
  'The week that relay.prune_history is taking apart: conversions from id_from, before id_to; up to conversion_id their keys '
  'are gone. Equal bounds: none. Who would bring a conversion back to life locks the row FOR SHARE first, and lets those of '
  'that week rest.';
insert into relay.prune_walk default values;

create or replace function relay.refuse_run_change()
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
  -- relay.prune_task_runs sets it for as long as it runs.
  if tg_op = 'DELETE' and old.run_id < nullif(pg_catalog.current_setting('relay.prune_runs_before', true), '')::bigint then
    return old;
  end if;
  raise exception 'a run is opened once and closed once' using errcode = 'CR005';
end;
$$;
comment on function relay.refuse_run_change is
  'Lets a run be closed once, and one past its retention be deleted by relay.prune_task_runs; refuses every other change '
  'with CR005.';

-- Vacuum. PostgreSQL's defaults wait for a fifth of a table: a fifth of ten million rows is a vacuum that comes too late
-- and takes too long. Each table that lives gets a fixed number of rows instead, so that a vacuum stays as short as it was
-- in the first week.

-- Rows are written once and never changed. A vacuum marks their pages all visible (index-only scans) and freezes them
-- while they are still in memory, so that no later one against wraparound has to write a year of history again. It visits
-- new pages only. relay.keep_partitions gives the same to each new week.
do $$
declare
  v_partition text;
begin
  for v_partition in
    select pg_inherits.inhrelid::regclass
    from pg_catalog.pg_inherits
    where pg_inherits.inhparent in (
      'relay.conversion'::regclass, 'relay.conversion_outcome'::regclass, 'relay.provider_upload_attempts'::regclass
    )
  loop
    execute pg_catalog.format(
      'alter table %s set (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000, '
      'autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_freeze_min_age = 0)',
      v_partition
    );
  end loop;
end;
$$;

-- As history, but one table for all time: inserts freeze early; the bulk deletes of a pruned week give their room back
-- before the next week goes.
alter table relay.conversion_key set (
  autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000,
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100000,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 250000,
  autovacuum_freeze_min_age = 0
);

-- Queues: rows come and go, and what is dead lies in the way of whoever looks for the next. At full speed, for nobody
-- waits for it. ready and inflight have theirs since they are.
alter table relay.held set (
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0
);

-- The line of groups: each turn moves a row in the index delivery_group_turn, whose dead entries every claim would walk.
alter table relay.delivery_group set (
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0
);

-- Written with every throttle; a few hundred rows in all.
alter table relay.quota set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- A row per request, changed by each poll (an index on the time of the next), deleted by the week.
alter table relay.receipt set (
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
  autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000
);

-- Each token is written anew every hour.
alter table relay.access_token set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Closed once, in the page where it was opened; deleted by the day.
alter table relay.task_runs set (
  fillfactor = 80,
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 20000
);

-- Lifted once; old ones are deleted.
alter table relay.hold set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Written by hand, now and then.
alter table relay.pause set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50);

-- A page each, updated in place every half minute: it shall stay a page.
alter table relay.upkeep set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50);
alter table relay.expiry_walk set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50);

-- The accounts.

create view relay.conversion_account as
-- Every table says which conversions it knows of, and one aggregate brings that together: no join, and what does not fit
-- into memory goes to disk in parts. It is as narrow as it can be: known has two decimal digits for each table, latest
-- carries where the latest outcome leads (0 goes on, 1 completed, 2 failed, 3 submitted) beside its seq.
with said (conversion_id, known, seq, latest, place_seq) as (
  select conversion_key.conversion_id, 1, null::integer, null::integer, null::integer
  from relay.conversion_key
  union all
  select conversion.conversion_id, 100, null, null, null
  from relay.conversion
  union all
  select ready.conversion_id, 10000, null, null, ready.seq
  from relay.ready
  union all
  select part.conversion_id, 1000000, null, null, part.seq - 1
  from relay.inflight
  cross join lateral unnest(inflight.conversion_ids, inflight.seqs) as part (conversion_id, seq)
  union all
  select held.conversion_id, 100000000, null, null, held.seq
  from relay.held
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
    summed.known % 100 as keys,
    summed.known / 100 % 100 as conversions,
    summed.known / 10000 % 100 as waiting,
    summed.known / 1000000 % 100 as in_flight,
    summed.known / 100000000 as held,
    summed.known / 10000 as places,
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
    when standing.known = 101 and standing.leads > 0 and standing.first_seq = 1 and standing.last_seq = standing.outcomes then null
    when standing.conversions = 0 and standing.keys > 0 then 'a key without its conversion'
    when standing.conversions = 0 and standing.outcomes > 0 then 'outcomes without their conversion'
    when (standing.conversions = 0 or standing.keys = 0) and standing.places > 0 then 'waits without a key'
    -- Pruning takes the keys first, then the outcomes, then the conversions.
    when standing.keys = 0 and standing.conversion_id between prune_walk.id_from and prune_walk.conversion_id then null
    when standing.keys = 0 then 'a conversion without its key'
    when standing.keys > 1 then 'a conversion of several keys'
    when standing.first_seq <> 1 or standing.last_seq <> standing.outcomes then 'gap or double in the sequence'
    when standing.places not in (0, 1, 100, 10000) or (standing.places = 0) <> (standing.leads > 0)
      then 'not in exactly one place'
    when standing.place_seq <> standing.last_seq then 'sequence of the place does not follow its history'
  end as fault
from standing
cross join relay.prune_walk;
comment on view relay.conversion_account is
  'What the tables know of each conversion, and the first fault in that: the proof of accounting, for relay.audit_accounts. '
  'Walks everything.';
