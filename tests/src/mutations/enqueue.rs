//! Faults of the door, of the line, and of the end of a conversion's time.

use super::{Mutation, edit, edit_all, mutation};

const ENQUEUE: &str = "enqueue/enqueue_offline_conversions";
const CALL: &str = "enqueue/call_groups";
const EXPIRE: &str = "expiry/expire_conversions";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        ENQUEUE,
        "fails where a key is known",
        &[edit(
            "on conflict do nothing\n    returning conversion_key.conversion_id",
            "returning conversion_key.conversion_id",
        )],
    ),
    mutation(
        ENQUEUE,
        "tells other content of a known key as a duplicate",
        &[edit("when known.digest = given.digest then 'duplicate'", "when true then 'duplicate'")],
    ),
    mutation(ENQUEUE, "takes in what is too old", &[edit("where given.expires_at > v_now", "where true")]),
    mutation(
        ENQUEUE,
        "puts what expires soon behind the others",
        &[edit("case when fresh.expires_at < v_now + interval '48 hours' then 0 else 1 end", "1")],
    ),
    mutation(
        ENQUEUE,
        "does not call the groups for what is new",
        &[edit("perform relay.call_groups(v_called, v_called_due);", "null;")],
    ),
    mutation(CALL, "calls held groups", &[edit_all("delivery_group.hold_id is null", 2, "true")]),
    mutation(
        CALL,
        "calls groups whose circuit is open",
        &[edit_all(", delivery_group.circuit_until)", 3, ")")],
    ),
    mutation(
        CALL,
        "calls groups that were told to wait",
        &[edit_all(", delivery_group.throttled_until,", 3, ",")],
    ),
    mutation(
        CALL,
        "sends a group that stands in line back to a later turn",
        &[edit_all("delivery_group.turn_at > greatest(", 2, "delivery_group.turn_at <> greatest(")],
    ),
    mutation(
        EXPIRE,
        "waits for a row that a claim holds",
        &[edit("for update of ready skip locked", "for update of ready")],
    ),
    mutation(
        EXPIRE,
        "forgets that a row may have been delivered",
        &[edit("due.lost_claims, due.maybe_delivered", "due.lost_claims, false")],
    ),
];
