//! Faults of the figures.

use super::{Mutation, edit, edit_all, mutation};

const COUNT: &str = "gauges/count_waiting";
const DEAD: &str = "gauges/count_standing_dead_letters";
const MARK: &str = "gauges/mark_totals";
const NOTE: &str = "gauges/note_arrivals";
const TAKE: &str = "gauges/take_gauges";
const DOOR: &str = "enqueue/take_in_offline_conversions";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        COUNT,
        "takes what was sampled for all there is",
        "queue::gauges::what_is_estimated_says_so_and_is_near_and_small_groups_are_counted",
        &[edit_all("100.0::double precision / v_ready", 2, "1.0::double precision")],
    ),
    mutation(
        COUNT,
        "passes an estimate off as a count",
        "queue::gauges::what_is_estimated_says_so_and_is_near_and_small_groups_are_counted",
        &[edit("      pg_catalog.bool_or(walked.rows = walked.entries),\n", "      false,\n")],
    ),
    mutation(
        COUNT,
        "reads all pages, however many",
        "queue::gauges::figures_cost_pages_and_groups_and_not_what_waits",
        &[edit("from relay.ready tablesample system (v_ready)", "from relay.ready")],
    ),
    mutation(
        COUNT,
        "counts a group to its end",
        "queue::gauges::figures_cost_pages_and_groups_and_not_what_waits",
        &[edit("        limit (select budget.entries from budget)\n", "")],
    ),
    mutation(
        COUNT,
        "forgets what is parked where it looks for what is at risk",
        "figures::gauges::what_expires_within_two_days_is_at_risk_wherever_it_waits",
        &[edit("where held.expires_at < v_soon", "where false")],
    ),
    mutation(
        COUNT,
        "forgets what waits for its order where it looks for what is at risk",
        "figures::gauges::what_expires_within_two_days_is_at_risk_wherever_it_waits",
        &[edit("where blocked.expires_at < v_soon", "where false")],
    ),
    mutation(
        DEAD,
        "counts dead letters that live again",
        "figures::gauges::dead_letters_that_were_sent_again_are_dead_no_longer",
        &[edit("where later.seq is null", "where true")],
    ),
    mutation(
        MARK,
        "forgets the mark before the hour",
        "figures::gauges::the_last_hour_is_what_was_counted_since_the_mark_before_it",
        &[edit("and before.marked_at <= v_hour", "")],
    ),
    mutation(
        MARK,
        "counts years as an hour where nobody looked before",
        "figures::gauges::the_last_hour_is_what_was_counted_since_the_mark_before_it",
        &[edit("when pg_catalog.min(delivery_group.created_at) > v_hour then", "when true then")],
    ),
    mutation(
        NOTE,
        "writes with every conversion",
        "figures::silence::the_door_notes_who_came_once_a_minute_and_waits_for_nobody",
        &[edit(" or metrics.last_arrival_at <= v_now - interval '1 minute'", " or true")],
    ),
    mutation(
        NOTE,
        "waits for whoever has the row",
        "figures::silence::the_door_notes_who_came_once_a_minute_and_waits_for_nobody",
        &[edit(" skip locked", "")],
    ),
    mutation(
        NOTE,
        "takes one long silence for custom",
        "figures::silence::a_silence_that_was_told_of_does_not_become_usual_at_once",
        &[edit("else least(due.gap, 3 * metrics.usual_gap_seconds) end", "else due.gap end")],
    ),
    mutation(
        NOTE,
        "forgets the night at the first conversion of the morning",
        "figures::silence::a_night_is_usual_to_who_has_nights",
        &[edit("metrics.usual_gap_seconds * pg_catalog.power", "0 * pg_catalog.power")],
    ),
    mutation(
        DOOR,
        "does not note who came",
        "figures::silence::the_door_notes_who_came_once_a_minute_and_waits_for_nobody",
        &[edit("    perform relay.note_arrivals(v_called, v_now);\n", "    null;\n")],
    ),
    mutation(
        TAKE,
        "counts what is held as backlog",
        "figures::gauges::each_figure_is_what_a_hand_counts",
        &[edit(
            "case when groups.hold_id is null then coalesce(waits.waiting, 0) else 0 end as backlog",
            "coalesce(waits.waiting, 0) as backlog",
        )],
    ),
    mutation(
        TAKE,
        "counts no stale outcomes",
        "figures::events::an_answer_for_a_claim_that_was_lost_is_told_as_stale",
        &[edit("and runs.counters ? 'stale'", "and false")],
    ),
    mutation(
        TAKE,
        "watches who has come but once or twice",
        "figures::silence::nobody_is_watched_before_it_has_come_a_few_times",
        &[edit("metrics.arrivals >= c_arrivals_least\n          and ", "")],
    ),
    mutation(
        TAKE,
        "shows the best first",
        "figures::gauges::the_worst_stand_first_and_as_many_as_were_asked_for",
        &[edit("standing.is_held desc, standing.circuit = 'CLOSED', ", "")],
    ),
];
