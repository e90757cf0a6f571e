//! Faults of the order chains.

use super::{Mutation, edit, mutation};

const ADVANCE: &str = "order/advance_orders";
const CALL: &str = "order/call_orders";
const FINISH: &str = "receipts/finish_receipt";
const FREE: &str = "order/free_orders";
const JOIN: &str = "order/join_orders";
const TAKE_IN: &str = "enqueue/take_in_offline_conversions";
const SETTLE: &str = "settle/settle_claimed_conversions";
const CLAIM: &str = "claim/claim_offline_conversion_jobs_v2";
const LAPSED: &str = "claim/return_lapsed_claims";
const WAKE: &str = "claim/wake_groups";
const EXPIRE: &str = "expiry/expire_conversions";
const REDRIVE: &str = "recover/redrive_dead_letters";
const PRUNE: &str = "prune/prune_keys";
const WEEK: &str = "prune/find_week_to_prune";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        ADVANCE,
        "takes a head that awaits its receipt for one that is over",
        "queue::orders::a_submitted_original_is_in_flight_until_its_receipt",
        &[edit(
            "or head.outcome in (\n        'DELIVERED',",
            "or head.outcome in (\n        'SUBMITTED', 'DELIVERED',",
        )],
    ),
    mutation(
        ADVANCE,
        "does not see that a receipt has settled",
        "queue::orders::a_submitted_original_is_in_flight_until_its_receipt",
        &[edit("receipt.state = 'SETTLED'", "false")],
    ),
    mutation(
        ADVANCE,
        "takes a head that goes again for one that is over",
        "queue::orders::what_waits_in_ready_or_for_its_retry_is_under_way",
        &[edit("where head.kind is null\n", "where head.outcome = 'RETRY'\n")],
    ),
    mutation(
        ADVANCE,
        "lets a late value go over a newer one",
        "queue::orders::an_older_value_that_comes_after_a_newer_was_delivered_is_not_sent",
        &[edit("waiting.occurred_at < waiting.written_at", "false")],
    ),
    mutation(
        ADVANCE,
        "takes what is as new for older",
        "queue::orders::an_older_value_that_comes_after_a_newer_was_delivered_is_not_sent",
        &[edit("waiting.occurred_at < waiting.written_at", "waiting.occurred_at <= waiting.written_at")],
    ),
    mutation(
        ADVANCE,
        "forgets that a value may have arrived",
        "queue::orders::a_value_that_may_have_arrived_is_not_overwritten_by_an_older_one",
        &[edit(
            "head.outcome in ('DELIVERED', 'DUPLICATE') or head.maybe_delivered",
            "head.outcome = 'DELIVERED'",
        )],
    ),
    mutation(
        ADVANCE,
        "takes what was refused for written",
        "queue::orders::an_older_value_goes_where_the_newer_never_arrived",
        &[edit("and (head.outcome in ('DELIVERED', 'DUPLICATE') or head.maybe_delivered)", "")],
    ),
    mutation(
        ADVANCE,
        "takes an original that may have arrived for failed",
        "queue::orders::an_original_that_may_have_arrived_has_not_failed",
        &[edit("          and not head.maybe_delivered\n", "")],
    ),
    mutation(
        ADVANCE,
        "lets values go that a newer one waits behind",
        "queue::orders::the_newest_value_goes_and_older_ones_end",
        &[edit(") > 1\n", ") > 99\n")],
    ),
    mutation(
        ADVANCE,
        "lets what expired take the place of an older value",
        "queue::order_races::what_expired_while_it_waited_is_in_nobodys_way",
        &[edit("sifted.restates and sifted.ending is null\n", "sifted.restates\n")],
    ),
    mutation(
        ADVANCE,
        "lets a value go before the second conversion of its order",
        "queue::orders::the_second_conversion_of_an_order_goes_where_the_first_failed",
        &[edit("when 'conversion' then 0", "when 'conversion' then 9")],
    ),
    mutation(
        ADVANCE,
        "gives adjustments up while another conversion of their order waits",
        "queue::orders::the_second_conversion_of_an_order_goes_where_the_first_failed",
        &[edit(
            "and not pg_catalog.bool_or(sifted.kind = 'conversion'",
            "and true or pg_catalog.bool_or(sifted.kind = '-'",
        )],
    ),
    mutation(
        ADVANCE,
        "sends a second conversion of an order that was delivered",
        "queue::orders::two_conversions_of_one_order_do_not_both_go",
        &[edit("and waiting.original = 'delivered' then", "and false then")],
    ),
    mutation(
        ADVANCE,
        "lets a write go at a time that lies below the floor",
        "queue::order_races::an_older_write_that_is_due_below_the_floor_is_found",
        &[
            edit("or placed.due_at < p_now as is_told", "as is_told"),
            edit("then greatest(placed.due_at, p_now) end", "then placed.due_at end"),
        ],
    ),
    mutation(
        ADVANCE,
        "leaves those that wait behind a head that is over",
        "queue::order_walk::whatever_happens_one_write_of_an_order_goes_at_a_time_and_none_over_a_newer_one",
        &[edit("set head = placed.next_id\n", "set head = blocked.head\n")],
    ),
    mutation(
        CALL,
        "calls no order",
        "queue::orders::a_restatement_waits_for_its_original",
        &[edit("on blocked.head = ended.conversion_id", "on false")],
    ),
    mutation(
        FINISH,
        "calls no order of a receipt",
        "queue::orders::a_receipt_that_tells_of_a_delivery_lets_the_next_go",
        &[edit("perform relay.call_orders(array[v_receipt.group_id], v_receipt.conversion_ids, v_now);", "")],
    ),
    mutation(
        FREE,
        "waits for an order that somebody has",
        "queue::order_races::a_call_stays_while_somebody_has_the_order",
        &[edit(
            "for no key update of order_chain skip locked\n  ), gone",
            "for no key update of order_chain\n  ), gone",
        )],
    ),
    mutation(
        FREE,
        "takes calls away of orders that somebody has",
        "queue::order_races::a_call_stays_while_somebody_has_the_order",
        &[edit("    for no key update of order_chain skip locked\n  ), gone", "  ), gone")],
    ),
    mutation(
        WAKE,
        "looks for nobody whose head is over though nobody said so",
        "queue::orders::a_receipt_that_nobody_told_of_is_found_by_the_next_look",
        &[edit("perform relay.call_ended_orders(c_orders, p_now);", "")],
    ),
    mutation(
        FREE,
        "does not call the groups of what may go",
        "queue::orders::a_restatement_waits_for_its_original",
        &[edit("and delivery_group.turn_at > called.turn_at", "and false")],
    ),
    mutation(
        JOIN,
        "does not know the original by its key",
        "queue::orders::a_restatement_waits_for_its_original",
        &[edit("coalesce(original.conversion_id, wanted.conversion_id)", "wanted.conversion_id")],
    ),
    mutation(
        JOIN,
        "takes an original of another action",
        "queue::orders::each_action_has_orders_of_its_own",
        &[edit(
            "            conversion.order_hash = wanted.order_hash\n            or ",
            "            true or ",
        )],
    ),
    mutation(
        JOIN,
        "does not look again for an end that it could not see",
        "queue::order_races::an_end_that_nobody_saw_is_found_by_a_later_claim",
        &[edit("interval '15 seconds', joined", "interval '15 years', joined")],
    ),
    mutation(
        TAKE_IN,
        "does not wait for the original of an order that it adjusts",
        "queue::order_races::an_adjustment_and_its_original_that_come_at_once_see_each_other",
        &[edit("where live.joins and live.kind <> 'conversion' and", "where false and")],
    ),
    mutation(
        TAKE_IN,
        "lets a conversion that names no order pass by the chain of its order",
        "queue::orders::two_conversions_of_one_order_do_not_both_go",
        &[edit(
            "where exists (select from relay.order_chain where",
            "where false and exists (select from relay.order_chain where",
        )],
    ),
    mutation(
        SETTLE,
        "calls no order",
        "queue::orders::a_restatement_waits_for_its_original",
        &[edit("perform relay.call_orders(array[v_claim.group_id], v_claim.conversion_ids, v_now);", "")],
    ),
    mutation(
        CLAIM,
        "calls no order of what expired",
        "queue::order_races::the_expiry_of_a_head_lets_the_next_go",
        &[edit("if v_expired_ids <> '{}' then", "if false then")],
    ),
    mutation(
        LAPSED,
        "calls no order of what it gave up",
        "queue::order_races::a_lost_claim_keeps_its_order",
        &[edit("perform relay.call_orders(v_called, v_exhausted_ids, p_now);", "null;")],
    ),
    mutation(
        WAKE,
        "forgets orders that were called long ago",
        "queue::order_races::calls_that_nobody_claimed_after_are_not_forgotten",
        &[edit("where order_call.call_at <= p_now - interval '5 minutes'", "where false")],
    ),
    mutation(
        EXPIRE,
        "calls no order of what expired",
        "queue::order_races::the_expiry_of_a_head_lets_the_next_go",
        &[edit("if v_ended_ids is not null then", "if false then")],
    ),
    mutation(
        EXPIRE,
        "leaves what waits for its order for ever",
        "queue::order_races::what_waits_for_its_order_expires_there",
        &[edit("where blocked.expires_at <= v_now", "where false")],
    ),
    mutation(
        REDRIVE,
        "sends a dead letter beside another write of its order",
        "queue::order_races::a_redriven_write_waits_for_the_one_in_flight",
        &[edit(
            "case when order_chain.head <> conversion.conversion_id then order_chain.head end as head",
            "null::bigint as head",
        )],
    ),
    mutation(
        WEEK,
        "takes a week apart of which something waits for its order",
        "queue::order_races::a_week_of_which_something_waits_for_its_order_stays_and_chains_go_with_theirs",
        &[edit(
            "from relay.blocked where blocked.conversion_id < p_before",
            "from relay.blocked where false",
        )],
    ),
    mutation(
        PRUNE,
        "leaves the chains of orders that are pruned",
        "queue::order_races::a_week_of_which_something_waits_for_its_order_stays_and_chains_go_with_theirs",
        &[edit("where order_chain.head < v_walk.id_to\n", "where false\n")],
    ),
];
