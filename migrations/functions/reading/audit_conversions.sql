create or replace function relay.audit_conversions()
returns table (fault text, conversion_id bigint, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with history as (
    select
      outcome.conversion_id,
      pg_catalog.count(*) as outcomes,
      pg_catalog.min(outcome.seq) as first_seq,
      pg_catalog.max(outcome.seq) as last_seq,
      (pg_catalog.array_agg(outcome.outcome order by outcome.seq desc))[1] as last_outcome
    from relay.conversion_outcome as outcome
    group by outcome.conversion_id
  ), place as (
    select ready.conversion_id, 'ready' as name, ready.seq from relay.ready
    union all
    select held.conversion_id, 'held', held.seq from relay.held
    union all
    select part.conversion_id, 'inflight', part.seq - 1
    from relay.inflight
    cross join lateral unnest(inflight.conversion_ids, inflight.seqs) as part (conversion_id, seq)
  ), places as (
    select
      place.conversion_id,
      pg_catalog.count(*) as places,
      pg_catalog.string_agg(place.name, ', ') as names,
      pg_catalog.max(place.seq) as seq
    from place
    group by place.conversion_id
  ), standing as (
    select
      key.conversion_id,
      coalesce(history.outcomes, 0) as outcomes,
      coalesce(history.first_seq, 1) as first_seq,
      coalesce(history.last_seq, 0) as last_seq,
      coalesce(
        history.last_outcome in (
          'DELIVERED', 'DUPLICATE', 'UNMATCHED', 'SUPERSEDED', 'CONSENT_DENIED', 'REJECTED', 'EXPIRED', 'EXHAUSTED',
          'CANCELLED', 'UNCONFIRMED', 'SUBMITTED'
        ),
        false
      ) as left_the_queue,
      coalesce(places.places, 0) as places,
      coalesce(places.names, 'nowhere') as names,
      places.seq
    from relay.conversion_key as key
    left join history on history.conversion_id = key.conversion_id
    left join places on places.conversion_id = key.conversion_id
  )
  select 'gap or double in the sequence', standing.conversion_id,
    pg_catalog.format('%s outcomes, from %s to %s', standing.outcomes, standing.first_seq, standing.last_seq)
  from standing
  where standing.first_seq <> 1 or standing.last_seq <> standing.outcomes
  union all
  select 'not in exactly one place', standing.conversion_id,
    pg_catalog.format('%s, and %s', case when standing.left_the_queue then 'ended or submitted' else 'unfinished' end, standing.names)
  from standing
  where standing.places <> case when standing.left_the_queue then 0 else 1 end
  union all
  select 'sequence of the place does not follow its history', standing.conversion_id,
    pg_catalog.format('%s says %s, history says %s', standing.names, standing.seq, standing.last_seq)
  from standing
  where standing.places = 1 and standing.seq <> standing.last_seq
  union all
  select 'waits without a key', places.conversion_id, places.names
  from places
  where not exists (
    select
    from relay.conversion_key as key
    join relay.conversion on conversion.conversion_id = key.conversion_id
    where key.conversion_id = places.conversion_id
  );
$$;

comment on function relay.audit_conversions is
  'The proof of accounting: every conversion has outcomes 1 to n without gap or double, and is in exactly one of ready, '
  'inflight, held, or at an end. A row per fault; none is the good answer. Walks everything: nightly, and in tests.';

grant execute on function relay.audit_conversions to relay_service, relay_operator;
