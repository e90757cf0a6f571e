//! Faults of the door, of the line, and of the end of a conversion's time.

use super::{Mutation, edit, edit_all, mutation};

const ENQUEUE: &str = "enqueue/take_in_offline_conversions";
const CALL: &str = "enqueue/call_groups";
const BORROW: &str = "enqueue/read_identifiers_of_orders";
const EXPIRE: &str = "expiry/expire_conversions";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        ENQUEUE,
        "fails where a key is known",
        "delivery::door::the_same_conversion_is_known_and_another_of_its_id_is_a_conflict",
        &[edit(
            "on conflict do nothing\n    returning conversion_key.conversion_id",
            "returning conversion_key.conversion_id",
        )],
    ),
    mutation(
        ENQUEUE,
        "tells other content of a known key as a duplicate",
        "delivery::door::the_same_conversion_is_known_and_another_of_its_id_is_a_conflict",
        &[edit("when known.digest = given.digest then 'duplicate'", "when true then 'duplicate'")],
    ),
    mutation(
        ENQUEUE,
        "takes in what is too old",
        "delivery::door::what_is_too_old_is_not_taken_in",
        &[edit("where given.expires_at > v_now", "where true")],
    ),
    mutation(
        ENQUEUE,
        "puts what expires soon behind the others",
        "delivery::retries::rows_near_their_end_go_first",
        &[edit("case when fresh.expires_at < v_now + interval '48 hours' then 0 else 1 end", "1")],
    ),
    mutation(
        ENQUEUE,
        "does not call the groups for what is new",
        "queue::door::what_is_brought_is_claimed_at_once",
        &[edit("perform relay.call_groups(v_called, v_called_due);", "null;")],
    ),
    mutation(
        ENQUEUE,
        "gives ids by another order than that of arrival",
        "delivery::door::ids_follow_the_order_of_arrival_whatever_the_batch",
        &[edit(
            "    ) as given\n    join relay.delivery_group",
            "      order by come.external_id\n    ) as given\n    join relay.delivery_group",
        )],
    ),
    mutation(
        BORROW,
        "borrows from nobody that an order's chain leads to",
        "delivery::confirm::a_change_that_names_its_order_alone_goes_by_what_its_original_was_known_by",
        &[edit("select order_chain.head", "select null::bigint")],
    ),
    mutation(
        CALL,
        "calls held groups",
        "queue::turns::new_rows_call_no_group_that_waits",
        &[edit_all("delivery_group.hold_id is null", 2, "true")],
    ),
    mutation(
        CALL,
        "calls groups whose circuit is open",
        "queue::turns::new_rows_call_no_group_that_waits",
        &[edit_all(", delivery_group.circuit_until,", 3, ",")],
    ),
    mutation(
        CALL,
        "calls groups that were told to wait",
        "queue::turns::new_rows_call_no_group_that_waits",
        &[edit_all(", delivery_group.throttled_until,", 3, ",")],
    ),
    mutation(
        CALL,
        "sends a group that stands in line back to a later turn",
        "queue::turns::rows_for_later_do_not_send_a_group_to_a_later_turn",
        &[edit_all("delivery_group.turn_at > greatest(", 2, "delivery_group.turn_at <> greatest(")],
    ),
    mutation(
        EXPIRE,
        "waits for a row that a claim holds",
        "queue::waits::the_walk_of_expiry_waits_for_no_row",
        &[edit("for update of ready skip locked", "for update of ready")],
    ),
    mutation(
        EXPIRE,
        "forgets that a row may have been delivered",
        "queue::marks::a_mark_outlives_being_put_first",
        &[edit("due.omitted, due.maybe_delivered", "due.omitted, false")],
    ),
];
