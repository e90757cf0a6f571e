//! Faults of what puts right what crashed runs left, and of what lets parked rows go on.

use super::{Mutation, edit, edit_all, mutation};

const LAPSED: &str = "claim/return_lapsed_claims";
const RECOVER: &str = "recover/recover_offline_conversions";
const REDRIVE: &str = "recover/redrive_dead_letters";
const LIFT: &str = "holds/lift_holds";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        REDRIVE,
        "sends a plain original while a second conversion of its order comes in",
        "queue::order_races::a_second_conversion_waits_for_a_plain_original_that_is_redriven_at_this_moment",
        &[edit("conversion.kind = 'conversion' and conversion.order_hash is not null", "false")],
    ),
    mutation(
        LAPSED,
        "takes live claims back",
        "queue::lapsed::a_live_claim_keeps_its_rows_its_slot_and_its_ledger_row",
        &[edit(
            "where inflight.lease_until < p_now\n      and inflight.claimed_at",
            "where inflight.claimed_at",
        )],
    ),
    mutation(
        LAPSED,
        "takes claims back that are too young",
        "queue::lapsed::what_is_too_young_is_left_alone",
        &[edit(
            "\n      and inflight.claimed_at <= p_now - pg_catalog.make_interval(mins => p_min_age_minutes)",
            "",
        )],
    ),
    mutation(
        LAPSED,
        "takes claims of other sites back",
        "queue::lapsed::one_sites_recovery_leaves_the_others_alone",
        &[edit("p_site_id is null", "true")],
    ),
    mutation(
        LAPSED,
        "waits for a claim that is being settled",
        "queue::waits::nobody_waits_for_a_lapsed_claim_that_is_just_being_settled",
        &[edit("limit p_limit\n    for update skip locked", "limit p_limit\n    for update")],
    ),
    mutation(
        LAPSED,
        "forgets that a request had left",
        "queue::marks::what_was_out_when_its_runner_died_is_marked",
        &[edit(
            "part.maybe_delivered or gone.sent_targets is not null as maybe_delivered",
            "part.maybe_delivered as maybe_delivered",
        )],
    ),
    mutation(
        LAPSED,
        "forgets that an earlier request had left",
        "queue::marks::a_mark_outlives_a_second_loss",
        &[edit(
            "part.maybe_delivered or gone.sent_targets is not null as maybe_delivered",
            "gone.sent_targets is not null as maybe_delivered",
        )],
    ),
    mutation(
        LAPSED,
        "forgets where the request went",
        "queue::marks::what_was_out_when_its_runner_died_is_marked",
        &[edit(
            "coalesce(gone.sent_targets[part.place], gone.sent_targets[1], part.target) as target",
            "part.target",
        )],
    ),
    mutation(
        LAPSED,
        "never gives a row up that kills its runners",
        "delivery::crashes::a_row_whose_claims_are_lost_twenty_times_ends",
        &[edit_all("lost.lost_claims >= 20", 5, "false")],
    ),
    mutation(
        LAPSED,
        "puts a row back that it gave up",
        "delivery::crashes::a_row_whose_claims_are_lost_twenty_times_ends",
        &[edit("    from lost\n    where lost.lost_claims < 20\n", "    from lost\n")],
    ),
    mutation(
        LAPSED,
        "counts no lost claim",
        "delivery::crashes::a_row_whose_claims_are_lost_twenty_times_ends",
        &[edit("part.lost_claims + 1 as lost_claims", "part.lost_claims")],
    ),
    mutation(
        LAPSED,
        "waits for groups that others visit",
        "delivery::crashes::claims_that_return_many_lapsed_ones_wait_for_nobody",
        &[edit("order by delivery_group.group_id\n      for no key update skip locked", "for no key update")],
    ),
    mutation(
        LAPSED,
        "frees a slot that is another's by now",
        "queue::slots::a_lapsed_claim_frees_no_slot_that_is_anothers_by_now",
        &[edit("\n        and upload_slot.claim_token = gone.slot_token", "")],
    ),
    mutation(
        LAPSED,
        "frees the slot of parts that go on",
        "queue::slots::a_lapsed_part_does_not_free_the_slot_of_the_others",
        &[edit("\n        and upload_slot.lease_until < p_now", "")],
    ),
    mutation(
        LAPSED,
        "does not call the groups for what comes back",
        "queue::lapsed::what_comes_back_is_claimed_at_once",
        &[edit("and delivery_group.turn_at > called.turn_at", "and false")],
    ),
    mutation(
        RECOVER,
        "closes the ledger row of a request that is out",
        "queue::lapsed::a_live_claim_keeps_its_rows_its_slot_and_its_ledger_row",
        &[edit(
            "\n      and not exists (select from relay.inflight where inflight.claim_token = attempt.claim_token)",
            "",
        )],
    ),
    mutation(
        RECOVER,
        "closes ledger rows that are too young",
        "queue::lapsed::what_is_too_young_is_left_alone",
        &[edit(
            "\n      and attempt.opened_at <= v_now - pg_catalog.make_interval(mins => p_min_age_minutes)",
            "",
        )],
    ),
    mutation(
        RECOVER,
        "frees the slots of the living",
        "queue::lapsed::a_live_claim_keeps_its_rows_its_slot_and_its_ledger_row",
        &[edit(" and upload_slot.lease_until < v_now", "")],
    ),
    mutation(
        REDRIVE,
        "sends what may have been delivered elsewhere",
        "delivery::crashes::a_dead_letter_that_may_have_been_delivered_goes_nowhere_else",
        &[
            edit_all("dead.sent_target, told.seq,", 2, "null, told.seq,"),
            edit_all("dead.omitted, dead.sent_target is not null", 2, "dead.omitted, false"),
        ],
    ),
    mutation(
        LIFT,
        "uses a sequence number a second time",
        "delivery::holds::a_conversion_action_that_needs_a_mend_holds_its_rows_alone",
        &[edit_all("freed.seq + 1", 2, "freed.seq")],
    ),
    mutation(
        LIFT,
        "forgets that a row may have been delivered",
        "queue::marks::a_mark_outlives_a_hold",
        &[edit("freed.omitted, freed.maybe_delivered", "freed.omitted, false")],
    ),
];
