create or replace function relay.audit_accounts(
  p_limit integer
)
returns table (
  keys bigint, waiting bigint, in_flight bigint, held bigint, submitted bigint, completed bigint, failed bigint,
  faults_total bigint, faults jsonb
)
language plpgsql
stable  -- all statements see the same moment
security definer
set search_path = pg_catalog, pg_temp
set work_mem = '128MB'
set max_parallel_workers_per_gather = 0
set enable_sort = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_unbooked bigint;
begin
  select
    coalesce(pg_catalog.sum(account.keys), 0),
    coalesce(pg_catalog.sum(account.waiting + account.blocked), 0),
    coalesce(pg_catalog.sum(account.in_flight), 0),
    coalesce(pg_catalog.sum(account.held), 0),
    pg_catalog.count(*) filter (where account.leads = 3 and account.keys > 0),
    pg_catalog.count(*) filter (where account.leads = 1 and account.keys > 0),
    pg_catalog.count(*) filter (where account.leads = 2 and account.keys > 0),
    pg_catalog.count(account.fault)
  from relay.conversion_account as account
  into keys, waiting, in_flight, held, submitted, completed, failed, faults_total;

  select pg_catalog.count(*)
  from relay.conversion_outcome as outcome
  where outcome.attempt_id is not null
    and not exists (
      select from relay.provider_upload_attempts as attempt where attempt.attempt_id = outcome.attempt_id
    )
  into v_unbooked;
  faults_total := faults_total + v_unbooked;
  if faults_total = 0 then
    faults := '[]';
    return next;
    return;
  end if;

  select coalesce(pg_catalog.jsonb_agg(listed), '[]')
  from (
    (
      select
        account.fault, account.conversion_id,
        relay.account_detail(
          account.known, account.outcomes, account.first_seq, account.latest, account.place_seq
        ) as detail
      from relay.conversion_account as account
      where account.fault is not null
      limit p_limit
    )
    union all
    (
      select
        'an outcome of a request that is not in the ledger', outcome.conversion_id,
        pg_catalog.format('seq %s, attempt %s', outcome.seq, outcome.attempt_id)
      from relay.conversion_outcome as outcome
      where outcome.attempt_id is not null
        and not exists (
          select from relay.provider_upload_attempts as attempt where attempt.attempt_id = outcome.attempt_id
        )
      limit p_limit
    )
    limit p_limit
  ) as listed
  into faults;
  return next;
end;
$$;

comment on function relay.audit_accounts is
  'The proof of accounting at one moment. Every conversion has a key, outcomes 1 to n without gap or double, each with the '
  'request that it came of in the ledger, and is in exactly one of ready, inflight, held, blocked, or at an end; so that keys = waiting '
  '+ in_flight + held + submitted + completed + failed. waiting counts what waits for its order, too; submitted what was taken by a provider that answers later, '
  'also after its receipt. faults: the first p_limit of them as {fault, conversion_id, detail}, one per conversion; none is '
  'the good answer. What retention took away is in none of the sums. Walks everything in one statement, which takes a second '
  'for some hundred thousand conversions: relay.audit_slice and relay.audit_keys take a longer history in parts.';

grant execute on function relay.audit_accounts to relay_service, relay_operator;
