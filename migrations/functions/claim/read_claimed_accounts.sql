create or replace function relay.read_claimed_accounts(
  p_claim_tokens uuid[],
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  claim_token uuid, group_id integer, key_version integer, source text, wrapped bytea, sealed bytea, transport text, omitted smallint[],
  parts bigint[], held_actions text[], held_codes text[], held_until timestamptz[]
)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
  with clock as materialized (
    select coalesce(p_now, pg_catalog.clock_timestamp()) as now
  )
  select
    inflight.claim_token, inflight.group_id, provider_credentials.key_version, vault_key.source, vault_key.wrapped,
    provider_credentials.sealed, delivery_group.transport, inflight.omitted, inflight.parts,
    held.actions, held.codes, held.until
  from clock
  cross join unnest(p_claim_tokens) as asked (claim_token)
  join relay.inflight on inflight.claim_token = asked.claim_token
  join relay.delivery_group on delivery_group.group_id = inflight.group_id
  left join relay.provider_credentials on provider_credentials.group_id = inflight.group_id
  left join relay.vault_key on vault_key.key_version = provider_credentials.key_version
  left join lateral (
    select
      pg_catalog.array_agg(hold.scope_key order by hold.hold_id) as actions,
      pg_catalog.array_agg(hold.code order by hold.hold_id) as codes,
      pg_catalog.array_agg(hold.lifts_at order by hold.hold_id) as until
    from relay.hold
    where hold.group_id = inflight.group_id
      and hold.scope = 'conversion_action'
      and hold.lifted_at is null
      and (hold.lifts_at is null or hold.lifts_at > clock.now)
  ) as held on true;
$$;

comment on function relay.read_claimed_accounts is
  'What claims are sent with: the sealed credentials of the group with the wrapped data key that opens them (null where there '
  'are none), the transport that it was switched to, what its conversions go without and together (one entry per conversion; '
  'null: nothing, none), and its conversion actions that are held: their keys, why, and until when where that is known, side '
  'by side. A row per claim that still stands.';

grant execute on function relay.read_claimed_accounts to relay_service;
