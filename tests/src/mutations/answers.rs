//! Faults of what answers lead to: what is left out, wide holds, and receipts.

use super::{Mutation, edit, edit_all, mutation};

const SETTLE: &str = "settle/settle_claimed_conversions";
const LAPSED: &str = "claim/return_lapsed_claims";
const ACCOUNTS: &str = "claim/read_claimed_accounts";
const HOLD: &str = "holds/open_group_hold";
const LIFT: &str = "holds/lift_holds";
const FREE_PARKED: &str = "holds/free_parked";
const CLAIM_RECEIPTS: &str = "receipts/claim_receipts";
const FINISH: &str = "receipts/finish_receipt";
const OPEN: &str = "receipts/open_receipt";
const OPEN_TOLD: &str = "receipts/open_told_receipt";
const POSTPONE: &str = "receipts/postpone_receipt";

const DEGRADED: &str = "delivery::degrade::a_row_refused_for_an_optional_part_goes_again_without_it";
const AFTER_CRASH: &str = "delivery::degrade::what_is_left_out_stays_out_after_a_crash";
const CLIENT: &str = "delivery::wide_holds::a_client_that_is_refused_is_one_hold_for_all_its_sites";
const VERSION: &str = "delivery::wide_holds::a_version_that_is_gone_is_one_hold_of_its_transport_alone";
const MENDED: &str = "delivery::wide_holds::new_credentials_free_their_site_from_its_clients_hold";
const TOO_NEW: &str =
    "delivery::wide_holds::an_action_that_is_too_new_puts_off_all_its_conversions_with_one_request";
const HELD_ACTION: &str = "delivery::wide_holds::conversions_of_a_held_action_wait_without_a_request";
const CLOSED: &str = "delivery::wide_holds::a_site_to_which_one_api_is_closed_goes_on_by_the_other";
const SUCCESS: &str = "delivery::confirm::a_success_ends_every_conversion_of_its_request_with_one_write";
const FEW: &str = "delivery::confirm::few_that_are_wrong_among_many_are_found_in_few_requests";
const NEVER: &str = "delivery::confirm::a_receipt_that_never_comes_ends_where_an_operator_sees_it";
const CRASH: &str = "delivery::confirm::a_crash_after_a_receipt_was_taken_apart_sends_its_conversions_again";
const SUPPOSED: &str =
    "delivery::mixed_receipts::what_a_receipt_tells_of_others_is_supposed_and_proven_by_one_of_their_own";
const BEHIND: &str =
    "delivery::mixed_receipts::a_crash_while_those_that_stayed_behind_are_told_of_loses_and_doubles_nothing";
const REVOKED: &str =
    "delivery::confirm::a_revoked_grant_that_a_question_meets_holds_its_site_and_loses_nothing";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        SETTLE,
        "forgets what is left out",
        DEGRADED,
        &[edit(
            "coalesce(part.was_omitted, 0::smallint) | coalesce(part.omitted, 0::smallint) as omitted",
            "0::smallint as omitted",
        )],
    ),
    mutation(
        SETTLE,
        "forgets which part a conversion goes with",
        FEW,
        &[edit("coalesce(part.part, part.old_part) as part", "null::bigint as part")],
    ),
    mutation(
        SETTLE,
        "never ends the hold of an action that is too new",
        TOO_NEW,
        &[edit("when parked.outcome = 'DELAYED'", "when false")],
    ),
    mutation(
        SETTLE,
        "stays with the transport that is closed",
        CLOSED,
        &[edit(
            "update relay.delivery_group set transport = p_transport where",
            "update relay.delivery_group set transport = transport where",
        )],
    ),
    mutation(
        SETTLE,
        "loses whose the receipt is",
        FEW,
        &[edit(
            "v_now + interval '30 minutes', v_now, v_submitted,",
            "v_now + interval '30 minutes', v_now, v_submitted[1:1],",
        )],
    ),
    mutation(
        SETTLE,
        "asks for the receipt at once",
        SUCCESS,
        &[edit("v_now + interval '30 minutes', v_now, v_submitted,", "v_now, v_now, v_submitted,")],
    ),
    mutation(
        LAPSED,
        "sends what was left out after a crash",
        AFTER_CRASH,
        &[edit("coalesce(part.omitted, 0::smallint) as omitted", "0::smallint as omitted")],
    ),
    mutation(
        ACCOUNTS,
        "passes over the holds of actions",
        HELD_ACTION,
        &[edit("and hold.scope = 'conversion_action'", "and false")],
    ),
    mutation(
        ACCOUNTS,
        "believes holds whose time is over",
        TOO_NEW,
        &[
            edit("and (hold.lifts_at is null or hold.lifts_at > clock.now)", ""),
            edit("and hold.lifted_at is null", ""),
        ],
    ),
    mutation(
        ACCOUNTS,
        "forgets what is left out",
        "delivery::degrade::one_part_goes_at_a_time_and_what_matches_stays",
        &[edit("delivery_group.transport, inflight.omitted,", "delivery_group.transport, null::smallint[],")],
    ),
    mutation(
        HOLD,
        "stops the site that met it and no other of its client",
        CLIENT,
        &[edit("for no key update skip locked", "limit 0")],
    ),
    mutation(
        HOLD,
        "stops every transport",
        VERSION,
        &[edit(
            "and case p_scope when 'client' then delivery_group.client_key else delivery_group.transport end = v_key",
            "",
        )],
    ),
    mutation(LIFT, "lifts its client's hold for all", MENDED, &[edit("and hold.provider_key is null", "")]),
    mutation(
        FREE_PARKED,
        "leaves what was parked",
        HELD_ACTION,
        &[edit("where held.hold_id = any (p_hold_ids)\n    limit", "where false\n    limit")],
    ),
    mutation(
        CLAIM_RECEIPTS,
        "asks for the receipts of sites that are held",
        REVOKED,
        &[edit("delivery_group.hold_id is not null\n", "false\n")],
    ),
    mutation(
        CLAIM_RECEIPTS,
        "never gives up",
        NEVER,
        &[edit("is_last := v_due.created_at <= v_now - c_last_after;", "is_last := false;")],
    ),
    mutation(
        FINISH,
        "counts nothing",
        SUCCESS,
        &[edit(
            "v_receipt.group_id, 0, pg_catalog.cardinality(v_receipt.conversion_ids), 0, 0, 0, 0, v_now",
            "v_receipt.group_id, 0, 0, 0, 0, 0, 0, v_now",
        )],
    ),
    mutation(
        SETTLE,
        "forgets for which part a receipt speaks",
        SUPPOSED,
        &[edit(
            "true = any (v_claim.maybe_delivered), v_claim.parts[1]",
            "true = any (v_claim.maybe_delivered), null",
        )],
    ),
    mutation(
        OPEN_TOLD,
        "uses a sequence number of what stayed behind a second time",
        BEHIND,
        &[edit("stayed.seq + 1", "stayed.seq")],
    ),
    mutation(
        OPEN,
        "uses a sequence number a second time",
        CRASH,
        &[edit("submitted.seq + 2", "submitted.seq + 1")],
    ),
    mutation(
        OPEN,
        "leaves the receipt to be asked for again",
        FEW,
        &[edit("set state = 'RESOLVED', settled_at = v_now", "set state = 'PENDING', settled_at = v_now")],
    ),
    mutation(
        POSTPONE,
        "asks every half hour for ever",
        NEVER,
        &[edit_all("* 2 ^ least(receipt.polls - 1, 10)", 1, "")],
    ),
];
