create or replace function relay.claim_receipts(
  p_provider_key text,
  p_site_id uuid,           -- null: every site
  p_limit integer,
  p_wait_seconds integer,   -- the longest wait for the request budget that is worth it
  p_lease_seconds integer,
  p_early_minutes integer default 0,  -- those, too, that are due within so long
  p_run_id bigint default null,       -- who asks: it gets each receipt once
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  attempt_id bigint, group_id integer, site_id uuid, provider_request_id text, transport text, conversions integer,
  maybe_delivered boolean, wait_ms integer, is_last boolean, is_overdue boolean, key_version integer, source text,
  wrapped bytea, sealed bytea
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
  -- What cannot be asked now is looked at again after this, and does not stand in the way meanwhile.
  c_later constant interval := interval '10 minutes';
  c_last_after constant interval := interval '24 hours';
  c_overdue_after constant interval := interval '7 days';
  c_rounds constant integer := 20;
  c_seen_at_once constant integer := 1000;
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_full text[] := '{}';
  v_room_at timestamptz[] := '{}';
  v_seen integer;
  v_due record;
  v_booked record;
  v_left integer := p_limit;
begin
  if p_limit not between 1 and 1000 or p_lease_seconds not between 5 and 3600 or p_wait_seconds not between 0 and 3600
    or p_early_minutes not between 0 and 1440
  then
    raise exception 'p_limit must lie in 1 to 1000, p_lease_seconds in 5 to 3600, p_wait_seconds in 0 to 3600, '
      'p_early_minutes in 0 to 1440' using errcode = 'CR001';
  end if;

  -- One at a time: each books from several quota keys, and two in different order would wait for each other.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('relay.claim_receipts', 0));
  -- Another round where all that were seen had to be put off.
  for v_round in 1..c_rounds loop
    v_seen := 0;
    for v_due in
      select
        receipt.attempt_id, receipt.provider_request_id, receipt.conversion_ids, receipt.maybe_delivered, receipt.created_at,
        delivery_group.group_id, delivery_group.site_id, delivery_group.quota_key, attempt.transport,
        delivery_group.hold_id is not null
          or delivery_group.throttled_until > v_now
          or delivery_group.paused_until > v_now
          or quota.throttled_until > v_now
          or exists (
            select
            from relay.pause
            where pause.scope = 'provider' and pause.provider_key = p_provider_key and pause.paused_until > v_now
          ) as is_stopped
      from relay.receipt
      join relay.delivery_group on delivery_group.group_id = receipt.group_id
      left join relay.quota on quota.quota_key = delivery_group.quota_key
      -- With a limit, so that it stays one look into one partition.
      left join lateral (
        select ledger.transport
        from relay.provider_upload_attempts as ledger
        where ledger.attempt_id = receipt.attempt_id
        limit 1
      ) as attempt on true
      where receipt.state = 'PENDING'
        and receipt.next_poll_at <= v_now + pg_catalog.make_interval(mins => p_early_minutes)
      and (p_run_id is null or receipt.run_id is distinct from p_run_id)
        and delivery_group.provider_key = p_provider_key
        and (p_site_id is null or delivery_group.site_id = p_site_id)
        and ((delivery_group.quota_key = any (v_full)) is not true or receipt.created_at <= v_now - c_overdue_after)
      order by receipt.next_poll_at
      limit c_seen_at_once
      for update of receipt skip locked
    loop
      exit when v_left <= 0;
      v_seen := v_seen + 1;
      is_overdue := v_due.created_at <= v_now - c_overdue_after;
      if not is_overdue then
        if v_due.is_stopped then
          update relay.receipt set next_poll_at = v_now + c_later where receipt.attempt_id = v_due.attempt_id;
          continue;
        end if;
        if (v_due.quota_key = any (v_full)) is not true then
          select booked.* from relay.reserve_request(v_due.quota_key, p_wait_seconds, v_now) as booked into v_booked;
          if not v_booked.reserved then
            v_full := v_full || v_due.quota_key;
            v_room_at := v_room_at || v_booked.leaves_at - pg_catalog.make_interval(secs => p_wait_seconds);
          end if;
        end if;
        -- It comes back when its key has room, and those of other keys do not wait behind it.
        if v_due.quota_key = any (v_full) then
          update relay.receipt
          set next_poll_at = greatest(receipt.next_poll_at, v_room_at[pg_catalog.array_position(v_full, v_due.quota_key)])
          where receipt.attempt_id = v_due.attempt_id;
          continue;
        end if;
      end if;
      attempt_id := v_due.attempt_id;
      group_id := v_due.group_id;
      site_id := v_due.site_id;
      provider_request_id := v_due.provider_request_id;
      transport := v_due.transport;
      conversions := pg_catalog.cardinality(v_due.conversion_ids);
      maybe_delivered := v_due.maybe_delivered;
      wait_ms := case when is_overdue then 0 else pg_catalog.ceil(1000 * extract(epoch from v_booked.leaves_at - v_now)) end;
      is_last := v_due.created_at <= v_now - c_last_after;
      update relay.receipt
      set
        next_poll_at = v_now + pg_catalog.make_interval(secs => p_lease_seconds + wait_ms / 1000),
        polls = receipt.polls + 1,
      run_id = p_run_id
      where receipt.attempt_id = v_due.attempt_id;
      select
        provider_credentials.key_version, vault_key.source, vault_key.wrapped, provider_credentials.sealed
      from relay.provider_credentials
      join relay.vault_key on vault_key.key_version = provider_credentials.key_version
      where provider_credentials.group_id = v_due.group_id
      into key_version, source, wrapped, sealed;
      v_left := v_left - 1;
      return next;
    end loop;
    exit when v_left < p_limit or v_seen < c_seen_at_once;
  end loop;
end;
$$;

comment on function relay.claim_receipts is
  'Receipts that are due to be asked for, at most p_limit, those that waited longest first; each with its site''s sealed '
  'credentials (null where there are none) and a place in the request budget, which it may use after wait_ms. Nobody else gets '
  'one of them for p_lease_seconds. Those of groups that are held, paused or throttled, or whose budget is used up, come '
  'later. is_last: a day has passed, '
  'and what is not known by now will not be known; is_overdue: for a week nobody could even ask, so do not. Raises CR001 for '
  'bad arguments. Locks: other claims of receipts, receipts that nobody has, quotas.';

grant execute on function relay.claim_receipts to relay_service;
