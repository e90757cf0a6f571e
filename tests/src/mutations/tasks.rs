//! Faults of the engine: locks, fences, schedules, pauses, history.

use super::{Mutation, edit, mutation};

const BEGIN: &str = "runs/begin_task_run";
const END: &str = "runs/end_task_run";
const HOLD: &str = "tasks/hold_task_lock";
const REFRESH: &str = "tasks/refresh_task_lock";
const LIMITED: &str = "pause/pause_limited_provider";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        BEGIN,
        "takes a lock that another has",
        "engine::locks::while_one_run_has_the_lock_another_is_skipped_and_says_so",
        &[edit(" and task_lock.lease_until <= v_now", "")],
    ),
    mutation(
        BEGIN,
        "gives a new owner the fence of the old",
        "engine::locks::a_replaced_owner_writes_nothing_more",
        &[edit("select task_lock.fence + 1, task_lock.run_id", "select task_lock.fence, task_lock.run_id")],
    ),
    mutation(
        BEGIN,
        "says nothing of a run that is gone",
        "engine::locks::a_dead_runs_lock_lapses_and_its_history_says_that_it_is_lost",
        &[edit("      perform relay.close_lost_run(v_gone_run, v_now);\n", "")],
    ),
    mutation(
        BEGIN,
        "runs a scheduled time again that was done",
        "engine::schedule::a_scheduled_time_is_done_once_a_run_of_it_has_succeeded",
        &[edit("v_verdict := 'DONE'", "v_verdict := 'GO'")],
    ),
    mutation(
        BEGIN,
        "takes a scheduled time for done that failed",
        "engine::schedule::a_scheduled_time_is_done_once_a_run_of_it_has_succeeded",
        &[edit("      and task_runs.status = 'DONE'\n", "")],
    ),
    mutation(
        BEGIN,
        "takes two schedules of one minute for one",
        "functions::runner::a_schedule_that_is_delivered_twice_is_done_once_and_a_pause_skips_it",
        &[edit("\n      and task_runs.request = p_request", "")],
    ),
    mutation(
        BEGIN,
        "forgets that a pause ends",
        "engine::limits::a_paused_task_is_skipped_until_it_is_resumed_or_its_time_has_come",
        &[edit("where stopped.paused_until > v_now", "where true")],
    ),
    mutation(
        BEGIN,
        "runs while its provider is paused",
        "engine::limits::a_rate_limit_of_everybody_pauses_the_provider_until_the_time_that_it_named",
        &[edit("where pause.provider_key = p_provider_key and pause.scope = 'provider'", "where false")],
    ),
    mutation(
        END,
        "gives back a lock that another has",
        "engine::locks::a_replaced_owner_writes_nothing_more",
        &[edit(" and task_lock.fence = p_fence and task_lock.run_id = p_run_id", "")],
    ),
    mutation(
        END,
        "keeps the lock of a run that ended",
        "engine::locks::while_one_run_has_the_lock_another_is_skipped_and_says_so",
        &[edit(
            "set owner = null, run_id = null, acquired_at = null, lease_until = '-infinity'",
            "set fence = task_lock.fence",
        )],
    ),
    mutation(
        END,
        "forgets that it failed before",
        "engine::columns::every_column_of_state_history_locks_and_pauses_is_written_by_runs",
        &[edit("then task_state.consecutive_failures + 1 else 0 end", "then 0 else 0 end")],
    ),
    mutation(
        HOLD,
        "lets a replaced owner write",
        "engine::locks::a_replaced_owner_writes_nothing_more",
        &[edit(" and task_lock.fence = p_fence", "")],
    ),
    mutation(
        REFRESH,
        "renews the lock of another",
        "engine::locks::a_task_whose_lock_is_taken_away_stops_at_once",
        &[edit("and task_lock.fence = p_fence and task_lock.owner is not null", "")],
    ),
    mutation(
        LIMITED,
        "stops all for one that is limited",
        "engine::limits::a_rate_limit_of_one_key_leaves_the_others_alone",
        &[edit(
            "greatest(delivery_group.throttled_until, quota.throttled_until) <= v_now\n  ) then",
            "false\n  ) then",
        )],
    ),
    mutation(
        LIMITED,
        "shortens an operator's pause",
        "engine::limits::an_operators_pause_outlasts_a_rate_limit",
        &[edit("where pause.paused_until <= v_now or pause.reason = 'RATE_LIMITED'", "where true")],
    ),
];
