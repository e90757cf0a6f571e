//! Faults of what puts right what crashed runs left, and of what lets parked rows go on.

use super::{Mutation, edit, edit_all, mutation};

const LAPSED: &str = "claim/return_lapsed_claims";
const RECOVER: &str = "recover/recover_offline_conversions";
const REDRIVE: &str = "recover/redrive_dead_letters";
const LIFT: &str = "credentials/lift_holds";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        LAPSED,
        "takes live claims back",
        &[edit(
            "where inflight.lease_until < p_now\n      and inflight.claimed_at",
            "where inflight.claimed_at",
        )],
    ),
    mutation(
        LAPSED,
        "takes claims back that are too young",
        &[edit(
            "\n      and inflight.claimed_at <= p_now - pg_catalog.make_interval(mins => p_min_age_minutes)",
            "",
        )],
    ),
    mutation(LAPSED, "takes claims of other sites back", &[edit("p_site_id is null", "true")]),
    mutation(
        LAPSED,
        "waits for a claim that is being settled",
        &[edit("limit p_limit\n    for update skip locked", "limit p_limit\n    for update")],
    ),
    mutation(
        LAPSED,
        "forgets that a request had left",
        &[edit(
            "part.maybe_delivered or gone.sent_targets is not null as maybe_delivered",
            "part.maybe_delivered as maybe_delivered",
        )],
    ),
    mutation(
        LAPSED,
        "forgets that an earlier request had left",
        &[edit(
            "part.maybe_delivered or gone.sent_targets is not null as maybe_delivered",
            "gone.sent_targets is not null as maybe_delivered",
        )],
    ),
    mutation(
        LAPSED,
        "forgets where the request went",
        &[edit(
            "coalesce(gone.sent_targets[part.place], gone.sent_targets[1], part.target) as target",
            "part.target",
        )],
    ),
    mutation(
        LAPSED,
        "never gives a row up that kills its runners",
        &[edit_all("lost.lost_claims >= 20", 4, "false")],
    ),
    mutation(
        LAPSED,
        "puts a row back that it gave up",
        &[edit("    from lost\n    where lost.lost_claims < 20\n", "    from lost\n")],
    ),
    mutation(
        LAPSED,
        "counts no lost claim",
        &[edit("part.lost_claims + 1 as lost_claims", "part.lost_claims")],
    ),
    mutation(
        LAPSED,
        "frees a slot that is another's by now",
        &[edit("\n      and upload_slot.claim_token = gone.slot_token", "")],
    ),
    mutation(
        LAPSED,
        "frees the slot of parts that go on",
        &[edit("\n      and upload_slot.lease_until < p_now", "")],
    ),
    mutation(
        LAPSED,
        "does not call the groups for what comes back",
        &[edit("perform relay.call_groups(v_called, v_called_due);", "null;")],
    ),
    mutation(
        RECOVER,
        "closes the ledger row of a request that is out",
        &[edit(
            "\n      and not exists (select from relay.inflight where inflight.claim_token = attempt.claim_token)",
            "",
        )],
    ),
    mutation(
        RECOVER,
        "closes ledger rows that are too young",
        &[edit(
            "\n      and attempt.opened_at <= v_now - pg_catalog.make_interval(mins => p_min_age_minutes)",
            "",
        )],
    ),
    mutation(RECOVER, "frees the slots of the living", &[edit(" and upload_slot.lease_until < v_now", "")]),
    mutation(
        REDRIVE,
        "sends what may have been delivered elsewhere",
        &[edit("dead.sent_target, told.seq, dead.sent_target is not null", "null, told.seq, false")],
    ),
    mutation(LIFT, "uses a sequence number a second time", &[edit_all("freed.seq + 1", 2, "freed.seq")]),
    mutation(
        LIFT,
        "forgets that a row may have been delivered",
        &[edit("freed.retry_count, freed.maybe_delivered", "freed.retry_count, false")],
    ),
];
