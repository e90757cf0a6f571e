//! Faults of opening, settling and closing.

use super::{Mutation, edit, mutation};

const OPEN: &str = "settle/book_provider_upload_attempt";
const SETTLE: &str = "settle/settle_claimed_conversions";
const CLOSE: &str = "settle/close_provider_upload_attempt";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        OPEN,
        "lets a request leave for a claim that lapsed",
        "delivery::fencing::nothing_may_be_sent_for_a_claim_that_lapsed",
        &[edit(
            "if v_claim.claim_token is null or v_claim.lease_until <= v_now then",
            "if v_claim.claim_token is null then",
        )],
    ),
    mutation(
        OPEN,
        "renews a slot that is another's by now",
        "queue::slots::nobody_renews_a_slot_that_is_anothers_by_now",
        &[edit("\n    and upload_slot.claim_token = v_claim.slot_token;", ";")],
    ),
    mutation(
        OPEN,
        "does not renew its slot",
        "queue::slots::a_request_keeps_its_slot_as_long_as_its_claim",
        &[edit(
            "update relay.upload_slot\n  set lease_until = v_lease_until\n",
            "update relay.upload_slot\n  set lease_until = upload_slot.lease_until\n",
        )],
    ),
    mutation(
        OPEN,
        "does not note that a request left",
        "queue::marks::what_was_out_when_its_runner_died_is_marked",
        &[edit(
            "set sent_targets = p_targets, lease_until = v_lease_until",
            "set lease_until = v_lease_until",
        )],
    ),
    mutation(
        OPEN,
        "lets the parts that wait lapse",
        "delivery::fencing::parts_that_wait_for_a_request_do_not_lapse_meanwhile",
        &[edit("if v_claim.slot_token <> p_claim_token then", "if false then")],
    ),
    mutation(
        OPEN,
        "renews the claims of others",
        "queue::slots::a_request_renews_no_claim_of_others",
        &[edit(
            "where inflight.slot_token = v_claim.slot_token\n      and inflight.claim_token <> p_claim_token",
            "where inflight.claim_token <> p_claim_token",
        )],
    ),
    mutation(
        SETTLE,
        "leaves the claim where it was",
        "delivery::fencing::a_claim_is_settled_once",
        &[edit(
            "delete from relay.inflight where inflight.claim_token = p_claim_token returning inflight.* into v_claim;",
            "select inflight.* from relay.inflight where inflight.claim_token = p_claim_token into v_claim;",
        )],
    ),
    mutation(
        SETTLE,
        "settles whichever claim there is",
        "delivery::fencing::the_parts_of_a_claim_have_fences_of_their_own",
        &[edit(
            "where inflight.claim_token = p_claim_token returning",
            "where inflight.claim_token = (select any_of.claim_token from relay.inflight as any_of limit 1) returning",
        )],
    ),
    mutation(
        SETTLE,
        "tells a claim that is gone that it was accepted",
        "delivery::fencing::a_claim_is_settled_once",
        &[edit("return query select false, null::text", "return query select true, null::text")],
    ),
    mutation(
        SETTLE,
        "closes a ledger row a second time",
        "delivery::fencing::a_claim_is_settled_once",
        &[edit(
            "where provider_upload_attempts.attempt_id = p_attempt_id and provider_upload_attempts.closed_at is null;",
            "where provider_upload_attempts.attempt_id = p_attempt_id;",
        )],
    ),
    mutation(
        SETTLE,
        "leaves the ledger row of a lost claim open",
        "delivery::fencing::a_lost_claim_changes_no_conversion_and_is_recorded",
        &[edit(
            "where provider_upload_attempts.attempt_id = p_attempt_id and provider_upload_attempts.closed_at is null;",
            "where false;",
        )],
    ),
    mutation(
        SETTLE,
        "frees a slot that is another's by now",
        "delivery::fencing::a_late_settling_frees_no_slot_but_its_own",
        &[edit("\n      and upload_slot.claim_token = v_claim.slot_token;", ";")],
    ),
    mutation(
        SETTLE,
        "keeps the slot",
        "queue::slots::a_slot_is_free_when_the_last_part_is_settled",
        &[edit("if not p_keep_slot then", "if false then")],
    ),
    mutation(
        SETTLE,
        "frees the slot while other parts go on with it",
        "queue::slots::a_slot_is_free_when_the_last_part_is_settled",
        &[edit("if not p_keep_slot then", "if true then")],
    ),
    mutation(
        SETTLE,
        "shortens the wait that another answer asked of the key",
        "queue::limits::a_short_wait_does_not_end_a_long_one",
        &[edit(
            "set throttled_until = greatest(quota.throttled_until, v_now + pg_catalog.make_interval(secs => p_throttle_seconds))",
            "set throttled_until = v_now + pg_catalog.make_interval(secs => p_throttle_seconds)",
        )],
    ),
    mutation(
        SETTLE,
        "shortens the wait that another answer asked of the group",
        "queue::limits::a_short_wait_does_not_end_a_long_one",
        &[
            edit(
                "throttled_until = greatest(\n        delivery_group.throttled_until, v_now + pg_catalog.make_interval(secs => p_throttle_seconds)\n      )",
                "throttled_until = v_now + pg_catalog.make_interval(secs => p_throttle_seconds)",
            ),
            edit(
                "turn_at = greatest(delivery_group.turn_at, v_now + pg_catalog.make_interval(secs => p_throttle_seconds))",
                "turn_at = v_now + pg_catalog.make_interval(secs => p_throttle_seconds)",
            ),
        ],
    ),
    mutation(
        SETTLE,
        "holds a group again whose credentials are mended",
        "delivery::holds::credentials_that_come_while_a_request_is_out_are_the_mend_already",
        &[edit(
            "if p_group_hold_scope is not null and not v_mended then",
            "if p_group_hold_scope is not null then",
        )],
    ),
    mutation(
        SETTLE,
        "does not mark what may have been delivered",
        "queue::marks::an_ambiguous_answer_marks",
        &[edit(
            "part.maybe_delivered or part.class is not distinct from 'AMBIGUOUS' or part.outcome = 'REQUEUED' as maybe_delivered",
            "part.maybe_delivered as maybe_delivered",
        )],
    ),
    mutation(
        SETTLE,
        "forgets what may have been delivered before",
        "queue::marks::a_mark_outlives_an_answer_that_puts_off",
        &[edit(
            "part.maybe_delivered or part.class is not distinct from 'AMBIGUOUS' or part.outcome = 'REQUEUED' as maybe_delivered",
            "part.class is not distinct from 'AMBIGUOUS' as maybe_delivered",
        )],
    ),
    mutation(
        SETTLE,
        "forgets where the request went",
        "queue::marks::an_ambiguous_answer_marks",
        &[edit(
            "else coalesce(v_claim.sent_targets[part.place], v_claim.sent_targets[1], part.target)",
            "else part.target",
        )],
    ),
    mutation(
        SETTLE,
        "burns no retry",
        "delivery::retries::a_transient_verdict_on_the_row_burns_its_retries_and_ends_it",
        &[edit("(part.outcome = 'RETRY')::integer", "0")],
    ),
    mutation(
        SETTLE,
        "counts no whole request that failed",
        "queue::limits::only_a_request_that_failed_as_a_whole_is_counted_against_its_rows",
        &[edit("(part.outcome = 'UNANSWERED' and p_circuit_result = 'transient')::integer", "0")],
    ),
    mutation(
        SETTLE,
        "counts a request that never failed against its rows",
        "queue::limits::only_a_request_that_failed_as_a_whole_is_counted_against_its_rows",
        &[edit(
            "(part.outcome = 'UNANSWERED' and p_circuit_result = 'transient')::integer",
            "(part.outcome = 'UNANSWERED')::integer",
        )],
    ),
    mutation(
        SETTLE,
        "sends before the time that the platform named",
        "queue::limits::nothing_goes_before_the_time_that_the_platform_named",
        &[edit(
            "then greatest(v_now + pg_catalog.make_interval(secs => coalesce(part.wait_seconds, 0)), part.not_before)",
            "then v_now + pg_catalog.make_interval(secs => coalesce(part.wait_seconds, 0))",
        )],
    ),
    mutation(
        SETTLE,
        "puts what expires soon behind the others",
        "queue::limits::what_goes_back_near_its_end_goes_first",
        &[edit("case when settled.expires_at < v_now + interval '48 hours' then 0 else 1 end", "1")],
    ),
    mutation(
        SETTLE,
        "ends a probe with its first part that never left",
        "queue::herd::a_part_of_a_probe_that_never_left_does_not_end_it",
        &[edit("and not (p_keep_slot and p_circuit_result = 'none') then", "then")],
    ),
    mutation(
        SETTLE,
        "looks whether the group stands in line before the claim that empties it is done",
        "delivery::line::what_goes_back_while_a_claim_empties_the_group_is_not_forgotten",
        &[edit(
            "    perform\n    from relay.delivery_group\n    where delivery_group.group_id = v_claim.group_id\n    for no key update;\n    perform relay.call_groups(",
            "    perform relay.call_groups(",
        )],
    ),
    mutation(
        SETTLE,
        "does not call the group for what goes back",
        "queue::turns::what_goes_back_is_claimed_at_once",
        &[edit("perform relay.call_groups(array[v_claim.group_id], array[v_back]);", "null;")],
    ),
    mutation(
        CLOSE,
        "closes a ledger row a second time",
        "queue::lapsed::a_ledger_row_is_closed_once",
        &[edit(" and provider_upload_attempts.closed_at is null", "")],
    ),
];
