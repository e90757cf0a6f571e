//! Faults of the claim, and of what it does with claims of others.

use super::{Mutation, edit, mutation};

const CLAIM: &str = "claim/claim_offline_conversion_jobs_v2";
const SPLIT: &str = "claim/split_claim";
const WAKE: &str = "claim/wake_groups";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        CLAIM,
        "waits for a group that another claim visits",
        "queue::waits::nobody_waits_while_somebody_else_has_the_group",
        &[edit(
            "limit p_group_limit\n      for no key update skip locked",
            "limit p_group_limit\n      for no key update",
        )],
    ),
    mutation(
        CLAIM,
        "waits for a slot that another claim is taking",
        "delivery::fencing::a_claim_never_waits_for_a_row_that_somebody_holds",
        &[edit(
            "limit 1\n      for update skip locked\n      into v_slot",
            "limit 1\n      for update\n      into v_slot",
        )],
    ),
    mutation(
        CLAIM,
        "waits for a circuit that somebody is changing",
        "queue::waits::nobody_waits_while_somebody_else_has_the_circuit",
        &[edit("for update skip locked\n      into v_circuit", "for update\n      into v_circuit")],
    ),
    mutation(
        CLAIM,
        "waits for an urgent row that somebody holds",
        "queue::waits::nobody_waits_for_rows_that_somebody_else_has",
        &[edit("limit v_limit\n        for update skip locked", "limit v_limit\n        for update")],
    ),
    mutation(
        CLAIM,
        "waits for an ordinary row that somebody holds",
        "queue::waits::nobody_waits_for_rows_that_somebody_else_has",
        &[edit("from urgent)\n        for update skip locked", "from urgent)\n        for update")],
    ),
    mutation(
        CLAIM,
        "takes a slot that is in use",
        "delivery::fencing::no_more_uploads_are_in_flight_than_the_quota_key_has_slots",
        &[edit(
            "where upload_slot.quota_key = v_group.quota_key and upload_slot.lease_until <= v_now",
            "where upload_slot.quota_key = v_group.quota_key",
        )],
    ),
    mutation(
        CLAIM,
        "does not mark the slot as taken",
        "delivery::fencing::no_more_uploads_are_in_flight_than_the_quota_key_has_slots",
        &[edit("set claim_token = v_token, lease_until = v_lease_until", "set claim_token = v_token")],
    ),
    mutation(
        CLAIM,
        "visits groups whose key was told to wait",
        "queue::starvation::groups_that_cannot_send_keep_nobody_from_the_very_next_claim",
        &[edit("where quota.throttled_until > v_now", "where false")],
    ),
    mutation(
        CLAIM,
        "takes more of a group than was asked for",
        "queue::limits::a_claim_takes_no_more_than_it_was_asked_for",
        &[edit("v_limit := least(p_batch_limit, pg_catalog.ceil", "v_limit := least(10000, pg_catalog.ceil")],
    ),
    mutation(
        CLAIM,
        "probes with everything that waits",
        "queue::herd::one_of_fifty_gets_the_probe_and_the_others_get_nothing",
        &[edit("else v_circuit.probe_limit end", "else v_limit end")],
    ),
    mutation(
        CLAIM,
        "probes with five rows after a probe that failed",
        "delivery::circuit::a_row_that_fails_every_request_does_not_keep_a_small_groups_circuit_open",
        &[edit(
            "case when v_circuit.failure_count > c_failures_to_open then 1 else",
            "case when false then 1 else",
        )],
    ),
    mutation(
        CLAIM,
        "sends while the circuit is open",
        "queue::herd::an_open_circuit_is_passed_over_whenever_its_groups_turn_comes",
        &[edit("v_circuit.state = 'OPEN' and v_circuit.next_probe_at > v_now\n", "false\n")],
    ),
    mutation(
        CLAIM,
        "sends a second probe while the first is out",
        "queue::herd::what_comes_in_during_a_probe_waits_for_its_end",
        &[edit("v_circuit.state = 'HALF_OPEN' and v_circuit.probe_until > v_now\n", "false\n")],
    ),
    mutation(
        CLAIM,
        "keeps the old epoch while probing",
        "queue::herd::what_comes_in_during_a_probe_waits_for_its_end",
        &[edit(
            "set state = 'HALF_OPEN', epoch = v_circuit.epoch + 1,",
            "set state = 'HALF_OPEN', epoch = v_circuit.epoch,",
        )],
    ),
    mutation(
        CLAIM,
        "gives the probe the old epoch",
        "queue::herd::what_comes_in_during_a_probe_waits_for_its_end",
        &[edit(
            "v_token, p_run_id, v_group.group_id, v_circuit.epoch + v_probing::integer,",
            "v_token, p_run_id, v_group.group_id, v_circuit.epoch,",
        )],
    ),
    mutation(
        CLAIM,
        "uses a sequence number a second time",
        "delivery::line::a_group_that_has_nothing_left_leaves_the_line",
        &[edit("pg_catalog.array_agg(taken.seq + 1 order by", "pg_catalog.array_agg(taken.seq order by")],
    ),
    mutation(
        CLAIM,
        "sends what has expired",
        "delivery::retries::a_row_past_its_time_ends_without_being_sent",
        &[edit("where taken.expires_at > v_now\n        having", "where true\n        having")],
    ),
    mutation(
        CLAIM,
        "forgets the urgent rows",
        "delivery::retries::rows_near_their_end_go_first",
        &[edit(
            "ready.band = 0 and ready.next_attempt_at <= v_now",
            "ready.band = 2 and ready.next_attempt_at <= v_now",
        )],
    ),
    mutation(
        CLAIM,
        "sends what is not due yet",
        "queue::turns::rows_for_later_do_not_send_a_group_to_a_later_turn",
        &[edit("ready.band = 1 and ready.next_attempt_at <= v_now", "ready.band = 1")],
    ),
    mutation(
        CLAIM,
        "sends a row that sank three requests with the others",
        "queue::limits::a_row_that_sank_three_requests_goes_alone",
        &[
            edit("due.request_failures >= 3 and due.failed_epoch", "false and due.failed_epoch"),
            edit("first.request_failures >= 3 and first.failed_epoch", "false and first.failed_epoch"),
        ],
    ),
    mutation(
        CLAIM,
        "counts whole requests of an older epoch against a row",
        "queue::limits::only_a_request_that_failed_as_a_whole_is_counted_against_its_rows",
        &[edit(
            "case when taken.failed_epoch = v_circuit.epoch then taken.request_failures else 0::smallint end",
            "taken.request_failures",
        )],
    ),
    mutation(
        CLAIM,
        "forgets how often a row's claims were lost",
        "delivery::crashes::a_row_whose_claims_are_lost_twenty_times_ends",
        &[edit(
            "pg_catalog.array_agg(taken.lost_claims order by taken.place)",
            "pg_catalog.array_agg(0::smallint order by taken.place)",
        )],
    ),
    mutation(
        CLAIM,
        "forgets that a row may have been delivered",
        "queue::marks::a_mark_outlives_an_answer_that_puts_off",
        &[edit(
            "pg_catalog.array_agg(taken.maybe_delivered order by taken.place)",
            "pg_catalog.array_agg(false order by taken.place)",
        )],
    ),
    mutation(
        CLAIM,
        "leaves lapsed claims to the task recover",
        "queue::waits::nobody_waits_for_a_lapsed_claim_that_is_just_being_settled",
        &[edit("perform relay.return_lapsed_claims(20, 0, null, v_now);", "null;")],
    ),
    mutation(
        CLAIM,
        "never looks for groups that were left out of the line",
        "delivery::claims::a_group_left_out_of_the_line_comes_back_however_busy_the_others_are",
        &[edit("perform relay.wake_groups(v_now);", "")],
    ),
    mutation(
        WAKE,
        "wakes groups that are held",
        "queue::turns::the_search_for_forgotten_groups_wakes_none_that_waits",
        &[edit(
            "delivery_group.hold_id is null and delivery_group.turn_at > p_now",
            "delivery_group.turn_at > p_now",
        )],
    ),
    mutation(
        WAKE,
        "wakes groups whose circuit is open or that were told to wait",
        "queue::turns::the_search_for_forgotten_groups_wakes_none_that_waits",
        &[edit(
            "greatest(soonest.next_attempt_at, delivery_group.throttled_until, delivery_group.circuit_until) as turn_at",
            "soonest.next_attempt_at as turn_at",
        )],
    ),
    mutation(
        SPLIT,
        "leaves the whole beside its parts",
        "delivery::fencing::the_parts_of_a_claim_have_fences_of_their_own",
        &[edit(
            "delete from relay.inflight where inflight.claim_token = p_claim_token returning inflight.* into v_claim;",
            "select inflight.* from relay.inflight where inflight.claim_token = p_claim_token into v_claim;",
        )],
    ),
    mutation(
        SPLIT,
        "renews a slot that is another's by now",
        "queue::slots::nobody_renews_a_slot_that_is_anothers_by_now",
        &[edit("\n    and upload_slot.claim_token = v_claim.slot_token;", ";")],
    ),
    mutation(
        SPLIT,
        "forgets where the first request went",
        "queue::marks::a_cut_claim_remembers_where_its_request_went",
        &[edit(
            "coalesce(v_claim.sent_targets[row.place], v_claim.sent_targets[1], row.target)",
            "row.target",
        )],
    ),
];
