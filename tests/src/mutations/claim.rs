//! Faults of the claim, and of what it does with claims of others.

use super::{Mutation, edit, mutation};

const CLAIM: &str = "claim/claim_offline_conversion_jobs_v2";
const SPLIT: &str = "claim/split_claim";
const WAKE: &str = "claim/wake_groups";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        CLAIM,
        "waits for a group that another claim visits",
        &[edit(
            "limit p_group_limit\n      for no key update skip locked",
            "limit p_group_limit\n      for no key update",
        )],
    ),
    mutation(
        CLAIM,
        "waits for a slot that another claim is taking",
        &[edit(
            "limit 1\n      for update skip locked\n      into v_slot",
            "limit 1\n      for update\n      into v_slot",
        )],
    ),
    mutation(
        CLAIM,
        "waits for a circuit that somebody is changing",
        &[edit("for update skip locked\n      into v_circuit", "for update\n      into v_circuit")],
    ),
    mutation(
        CLAIM,
        "waits for an urgent row that somebody holds",
        &[edit("limit v_limit\n        for update skip locked", "limit v_limit\n        for update")],
    ),
    mutation(
        CLAIM,
        "waits for an ordinary row that somebody holds",
        &[edit("from urgent)\n        for update skip locked", "from urgent)\n        for update")],
    ),
    mutation(
        CLAIM,
        "takes a slot that is in use",
        &[edit(
            "where upload_slot.quota_key = v_group.quota_key and upload_slot.lease_until <= v_now",
            "where upload_slot.quota_key = v_group.quota_key",
        )],
    ),
    mutation(
        CLAIM,
        "does not mark the slot as taken",
        &[edit("set claim_token = v_token, lease_until = v_lease_until", "set claim_token = v_token")],
    ),
    mutation(
        CLAIM,
        "visits groups whose key was told to wait",
        &[edit("where quota.throttled_until > v_now", "where false")],
    ),
    mutation(
        CLAIM,
        "takes more of a group than was asked for",
        &[edit("v_limit := least(p_batch_limit, pg_catalog.ceil", "v_limit := least(10000, pg_catalog.ceil")],
    ),
    mutation(
        CLAIM,
        "probes with everything that waits",
        &[edit("else v_circuit.probe_limit end", "else v_limit end")],
    ),
    mutation(
        CLAIM,
        "probes with five rows after a probe that failed",
        &[edit(
            "case when v_circuit.failure_count > c_failures_to_open then 1 else",
            "case when false then 1 else",
        )],
    ),
    mutation(
        CLAIM,
        "sends while the circuit is open",
        &[edit("v_circuit.state = 'OPEN' and v_circuit.next_probe_at > v_now\n", "false\n")],
    ),
    mutation(
        CLAIM,
        "sends a second probe while the first is out",
        &[edit("v_circuit.state = 'HALF_OPEN' and v_circuit.probe_until > v_now\n", "false\n")],
    ),
    mutation(
        CLAIM,
        "keeps the old epoch while probing",
        &[edit(
            "set state = 'HALF_OPEN', epoch = v_circuit.epoch + 1,",
            "set state = 'HALF_OPEN', epoch = v_circuit.epoch,",
        )],
    ),
    mutation(
        CLAIM,
        "gives the probe the old epoch",
        &[edit(
            "v_token, p_run_id, v_group.group_id, v_circuit.epoch + v_probing::integer,",
            "v_token, p_run_id, v_group.group_id, v_circuit.epoch,",
        )],
    ),
    mutation(
        CLAIM,
        "uses a sequence number a second time",
        &[edit("pg_catalog.array_agg(taken.seq + 1 order by", "pg_catalog.array_agg(taken.seq order by")],
    ),
    mutation(
        CLAIM,
        "sends what has expired",
        &[edit("where taken.expires_at > v_now\n        having", "where true\n        having")],
    ),
    mutation(
        CLAIM,
        "forgets the urgent rows",
        &[edit(
            "ready.band = 0 and ready.next_attempt_at <= v_now",
            "ready.band = 2 and ready.next_attempt_at <= v_now",
        )],
    ),
    mutation(
        CLAIM,
        "sends what is not due yet",
        &[edit("ready.band = 1 and ready.next_attempt_at <= v_now", "ready.band = 1")],
    ),
    mutation(
        CLAIM,
        "sends a row that sank three requests with the others",
        &[
            edit("due.request_failures >= 3 and due.failed_epoch", "false and due.failed_epoch"),
            edit("first.request_failures >= 3 and first.failed_epoch", "false and first.failed_epoch"),
        ],
    ),
    mutation(
        CLAIM,
        "counts whole requests of an older epoch against a row",
        &[edit(
            "case when taken.failed_epoch = v_circuit.epoch then taken.request_failures else 0::smallint end",
            "taken.request_failures",
        )],
    ),
    mutation(
        CLAIM,
        "forgets how often a row's claims were lost",
        &[edit(
            "pg_catalog.array_agg(taken.lost_claims order by taken.place)",
            "pg_catalog.array_agg(0::smallint order by taken.place)",
        )],
    ),
    mutation(
        CLAIM,
        "forgets that a row may have been delivered",
        &[edit(
            "pg_catalog.array_agg(taken.maybe_delivered order by taken.place)",
            "pg_catalog.array_agg(false order by taken.place)",
        )],
    ),
    mutation(
        CLAIM,
        "leaves lapsed claims to the task recover",
        &[edit("perform relay.return_lapsed_claims(20, 0, null, v_now);", "null;")],
    ),
    mutation(
        CLAIM,
        "never looks for groups that were left out of the line",
        &[edit("perform relay.wake_groups(v_now);", "")],
    ),
    mutation(
        WAKE,
        "wakes groups that are held",
        &[edit(
            "delivery_group.hold_id is null and delivery_group.turn_at > p_now",
            "delivery_group.turn_at > p_now",
        )],
    ),
    mutation(
        WAKE,
        "wakes groups whose circuit is open or that were told to wait",
        &[edit(
            "greatest(soonest.next_attempt_at, delivery_group.throttled_until, delivery_group.circuit_until) as turn_at",
            "soonest.next_attempt_at as turn_at",
        )],
    ),
    mutation(
        SPLIT,
        "leaves the whole beside its parts",
        &[edit(
            "delete from relay.inflight where inflight.claim_token = p_claim_token returning inflight.* into v_claim;",
            "select inflight.* from relay.inflight where inflight.claim_token = p_claim_token into v_claim;",
        )],
    ),
    mutation(
        SPLIT,
        "renews a slot that is another's by now",
        &[edit("\n    and upload_slot.claim_token = v_claim.slot_token;", ";")],
    ),
    mutation(
        SPLIT,
        "forgets where the first request went",
        &[edit(
            "coalesce(v_claim.sent_targets[row.place], v_claim.sent_targets[1], row.target)",
            "row.target",
        )],
    ),
];
