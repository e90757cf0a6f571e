create or replace function relay.advance_orders(
  p_group_ids integer[],
  p_order_hashes uuid[],    -- side by side with the groups
  p_now timestamptz
)
returns table (conversion_id bigint, group_id integer, outcome text, due_at timestamptz)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_group_ids integer[];
  v_order_hashes uuid[];
begin
  with mine as materialized (
    select order_chain.group_id, order_chain.order_hash
    from unnest(p_group_ids, p_order_hashes) as called (group_id, order_hash)
    join relay.order_chain
      on order_chain.group_id = called.group_id and order_chain.order_hash = called.order_hash
    for no key update of order_chain skip locked
  )
  select pg_catalog.array_agg(mine.group_id), pg_catalog.array_agg(mine.order_hash)
  from mine
  into v_group_ids, v_order_hashes;
  if v_group_ids is null then
    return;
  end if;

  -- In a statement of its own, so that it sees what became of the heads until we had their chains.
  return query
  with chain as materialized (
    select
      order_chain.group_id, order_chain.order_hash,
      greatest(
        order_chain.written_at,
        case
          when head.kind <> 'enhancement' and (head.outcome in ('DELIVERED', 'DUPLICATE') or head.maybe_delivered)
            then head.occurred_at
        end
      ) as written_at,
      case
        when head.kind is distinct from 'conversion' then order_chain.original
        when head.outcome in ('DELIVERED', 'DUPLICATE') then 'delivered'
        -- What may have been delivered is not failed; nor is an order that the provider has from elsewhere.
        when head.outcome in ('REJECTED', 'EXPIRED', 'EXHAUSTED', 'CANCELLED', 'CONSENT_DENIED')
          and not head.maybe_delivered
          and order_chain.written_at is null
          then 'failed'
      end as original
    from unnest(v_group_ids, v_order_hashes) as mine (group_id, order_hash)
    join relay.order_chain on order_chain.group_id = mine.group_id and order_chain.order_hash = mine.order_hash
    left join lateral (
      select
        conversion.kind,
        coalesce((conversion.payload ->> 'occurred_at')::timestamptz, conversion.created_at) as occurred_at,
        case
          when latest.outcome = 'SUBMITTED' and receipt.state = 'SETTLED' then receipt.outcome
          else latest.outcome
        end as outcome,
        latest.outcome = 'UNCONFIRMED' or exists (
          select
          from relay.conversion_outcome as earlier
          where earlier.conversion_id = conversion.conversion_id
            and (
              earlier.class = 'AMBIGUOUS'
              -- Its receipt counted it among those that were taken or not, and it ended before a request of its own told.
              or earlier.code = 'RECEIPT_PARTIAL' and latest.outcome in ('EXPIRED', 'EXHAUSTED', 'CANCELLED')
            )
        ) as maybe_delivered
      from relay.conversion
      left join lateral (
        select told.outcome, told.attempt_id
        from relay.conversion_outcome as told
        where told.conversion_id = conversion.conversion_id
        order by told.seq desc
        limit 1
      ) as latest on true
      left join relay.receipt on latest.outcome = 'SUBMITTED' and receipt.attempt_id = latest.attempt_id
      where conversion.conversion_id = order_chain.head
      limit 1
    ) as head on true
    -- Over, or so long ago that retention took it away.
    where head.kind is null
      or head.outcome in (
        'DELIVERED', 'DUPLICATE', 'UNMATCHED', 'SUPERSEDED', 'CONSENT_DENIED', 'REJECTED', 'EXPIRED', 'EXHAUSTED',
        'CANCELLED', 'UNCONFIRMED'
      )
  ), waiting as materialized (
    -- What somebody else has is being ended: it expired.
    select blocked.*, chain.written_at, chain.original, conversion.due_at
    from chain
    join relay.blocked on blocked.group_id = chain.group_id and blocked.order_hash = chain.order_hash
    cross join lateral (
      select conversion.due_at
      from relay.conversion
      where conversion.conversion_id = blocked.conversion_id
      limit 1
    ) as conversion
    for update of blocked skip locked
  ), sifted as (
    select
      waiting.*,
      waiting.kind in ('restatement', 'retraction') as restates,
      case
        when waiting.expires_at <= p_now then case when waiting.maybe_delivered then 'UNCONFIRMED' else 'EXPIRED' end
        when waiting.kind = 'conversion' and waiting.original = 'delivered' then 'DUPLICATE'
        when waiting.kind <> 'enhancement' and waiting.occurred_at < waiting.written_at then 'SUPERSEDED'
      end as ending
    from waiting
  ), judged as materialized (
    select
      sifted.*,
      case
        when sifted.ending is not null then sifted.ending
        when sifted.restates
          and pg_catalog.row_number() over (
            partition by sifted.group_id, sifted.order_hash, sifted.restates and sifted.ending is null
            order by sifted.occurred_at desc, sifted.conversion_id desc
          ) > 1
          then 'SUPERSEDED'
        when sifted.kind <> 'conversion'
          and sifted.original = 'failed'
          and not pg_catalog.bool_or(sifted.kind = 'conversion' and sifted.ending is null) over (
            partition by sifted.group_id, sifted.order_hash
          )
          then 'REJECTED'
      end as outcome
    from sifted
  ), placed as materialized (
    select
      judged.*,
      pg_catalog.first_value(case when judged.outcome is null then judged.conversion_id end) over first as next_id,
      pg_catalog.first_value(case when judged.outcome is null then judged.kind end) over first as next_kind
    from judged
    window first as (
      partition by judged.group_id, judged.order_hash
      order by
        judged.outcome is not null,
        case judged.kind when 'conversion' then 0 when 'enhancement' then 1 else 2 end,
        judged.conversion_id
    )
  ), leaving as materialized (
    select
      placed.conversion_id, placed.group_id, placed.outcome, placed.retry_count, placed.target, placed.omitted,
      placed.maybe_delivered, placed.expires_at,
      -- What never waited goes at the time at which it is due anyway. All else is told, with a time that lies no earlier
      -- than now: claims begin their walk at a floor.
      placed.outcome is not null or placed.seq > 0 or placed.due_at < p_now as is_told,
      case when placed.outcome is null then greatest(placed.due_at, p_now) end as due_at,
      placed.seq
    from placed
    where placed.outcome is not null or placed.conversion_id = placed.next_id
  ), gone as (
    delete from relay.blocked using leaving where blocked.conversion_id = leaving.conversion_id
  ), moved as (
    update relay.blocked
    set head = placed.next_id
    from placed
    where blocked.conversion_id = placed.conversion_id
      and placed.outcome is null
      and placed.conversion_id <> placed.next_id
  ), kept as (
    update relay.order_chain
    set
      head = coalesce(known.next_id, order_chain.head),
      written_at = known.written_at,
      original = case when known.next_kind = 'conversion' then null else known.original end
    from (
      select distinct on (placed.group_id, placed.order_hash)
        placed.group_id, placed.order_hash, placed.next_id, placed.next_kind, placed.written_at, placed.original
      from placed
      order by placed.group_id, placed.order_hash
    ) as known
    where order_chain.group_id = known.group_id and order_chain.order_hash = known.order_hash
  ), told as (
    insert into relay.conversion_outcome (
      conversion_id, seq, outcome, class, code, retry_count, next_attempt_at, sent_target, omitted, recorded_at
    )
    select
      leaving.conversion_id, leaving.seq + 1, coalesce(leaving.outcome, 'REQUEUED'),
      case
        when leaving.outcome in ('EXPIRED', 'REJECTED') then 'PERM'
        when leaving.outcome = 'UNCONFIRMED' then 'AMBIGUOUS'
        when leaving.outcome is not null then 'OK'
      end,
      case
        when leaving.outcome = 'EXPIRED' then 'EXPIRED_BEFORE_DELIVERY'
        when leaving.outcome = 'UNCONFIRMED' then 'EXPIRED_PERHAPS_DELIVERED'
        when leaving.outcome = 'DUPLICATE' then 'ORDER_ALREADY_DELIVERED'
        when leaving.outcome = 'SUPERSEDED' then 'NEWER_WRITE'
        when leaving.outcome = 'REJECTED' then 'ORIGINAL_NOT_DELIVERED'
        else 'ORDER_FREE'
      end,
      leaving.retry_count, leaving.due_at,
      case when leaving.maybe_delivered and leaving.outcome in ('REJECTED', 'UNCONFIRMED') then leaving.target end, nullif(leaving.omitted, 0),
      p_now
    from leaving
    where leaving.is_told
  ), back as (
    insert into relay.ready (
      group_id, band, next_attempt_at, conversion_id, expires_at, target, seq, retry_count, omitted, maybe_delivered
    )
    select
      leaving.group_id, case when leaving.expires_at < p_now + interval '48 hours' then 0 else 1 end, leaving.due_at,
      leaving.conversion_id, leaving.expires_at, leaving.target, leaving.seq + leaving.is_told::integer,
      leaving.retry_count, leaving.omitted, leaving.maybe_delivered
    from leaving
    where leaving.outcome is null
  )
  select leaving.conversion_id, leaving.group_id, leaving.outcome, leaving.due_at from leaving;
end;
$$;

comment on function relay.advance_orders is
  'Where the head of an order is over: learns from it what the provider has, ends what waits in vain (EXPIRED, UNCONFIRMED, DUPLICATE '
  'ORDER_ALREADY_DELIVERED, SUPERSEDED NEWER_WRITE, REJECTED ORIGINAL_NOT_DELIVERED) and lets the next one go: a conversion, '
  'then enhancements, then the newest value. Does nothing where the head is not over, or somebody else has the chain. One row '
  'per conversion that leaves: its outcome, or when it is due. Callers call the groups and count the endings. Locks chains '
  'and what waits in them, and waits for neither. Called by functions.';
