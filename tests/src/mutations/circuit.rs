//! Faults of the circuit.

use super::{Mutation, edit, mutation};

const RECORD: &str = "circuit/record_provider_outcome";

const PROVIDER: &str = "circuit/open_provider_circuit";
const PROBE: &str = "circuit/record_provider_probe";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        PROVIDER,
        "stops a provider for one group in three",
        "delivery::outage::a_few_failing_groups_among_many_that_deliver_stop_nobody_else",
        &[edit("2 * v_open <= v_active", "3 * v_open <= v_active")],
    ),
    mutation(
        PROVIDER,
        "never opens the provider's circuit",
        "delivery::outage::more_than_half_of_the_active_groups_open_the_providers_circuit",
        &[edit("if v_open < c_groups_to_open or", "if true or")],
    ),
    mutation(
        PROBE,
        "heeds the answer of a probe that was given up on",
        "delivery::outage::a_late_answer_of_a_probe_that_was_given_up_on_changes_nothing",
        &[edit(
            "where provider_circuit.state = 'HALF_OPEN' and provider_circuit.probe_token = p_slot_token",
            "where provider_circuit.state = 'HALF_OPEN'",
        )],
    ),
    mutation(
        PROBE,
        "closes the provider's circuit after a probe that failed",
        "delivery::outage::one_request_probes_for_all_and_a_failure_opens_again",
        &[edit("if p_result = 'transient' then", "if false then")],
    ),
    mutation(
        RECORD,
        "heeds answers of an older epoch",
        "delivery::circuit::a_lost_probe_is_due_again_and_answers_of_its_epoch_change_nothing",
        &[
            edit("if v_circuit.epoch is distinct from p_epoch\n    or v_circuit.state", "if v_circuit.state"),
            edit(
                "if v_circuit.epoch <> p_epoch or v_circuit.state = 'OPEN' then",
                "if v_circuit.state = 'OPEN' then",
            ),
        ],
    ),
    mutation(
        RECORD,
        "opens after six failures",
        "delivery::circuit::five_requests_that_fail_as_a_whole_open_the_circuit_and_burn_no_retry",
        &[edit(
            "v_circuit.failure_count + 1 >= c_failures_to_open",
            "v_circuit.failure_count + 1 > c_failures_to_open",
        )],
    ),
    mutation(
        RECORD,
        "stays half open after a probe that failed",
        "delivery::circuit::a_probe_that_fails_opens_the_circuit_again",
        &[edit(
            "(v_circuit.state = 'HALF_OPEN' or v_circuit.failure_count + 1 >= c_failures_to_open)",
            "v_circuit.state <> 'HALF_OPEN' and v_circuit.failure_count + 1 >= c_failures_to_open",
        )],
    ),
    mutation(
        RECORD,
        "closes only by a delivery",
        "queue::herd::what_comes_in_during_a_probe_waits_for_its_end",
        &[edit(
            "if v_circuit.state = 'HALF_OPEN' then",
            "if v_circuit.state = 'HALF_OPEN' and p_result = 'success' then",
        )],
    ),
    mutation(
        RECORD,
        "keeps its count after a delivery",
        "delivery::circuit::a_delivery_clears_the_count_and_a_refusal_does_not_raise_it",
        &[edit("set failure_count = 0, changed_at = v_now", "set changed_at = v_now")],
    ),
    mutation(
        RECORD,
        "keeps its count when it closes",
        "delivery::circuit::a_row_that_fails_every_request_does_not_keep_a_small_groups_circuit_open",
        &[edit("      state = 'CLOSED',\n      failure_count = 0,", "      state = 'CLOSED',")],
    ),
    mutation(
        RECORD,
        "leaves the group where it stands in line when it opens",
        "queue::herd::an_open_circuit_is_passed_over_whenever_its_groups_turn_comes",
        &[edit(
            "else greatest(v_probe_at, delivery_group.throttled_until, delivery_group.paused_until)",
            "else delivery_group.turn_at",
        )],
    ),
    mutation(
        RECORD,
        "makes a probe that never left wait for its lease",
        "queue::herd::a_probe_that_never_left_is_due_again_at_once",
        &[edit("set probe_until = v_now\n", "set probe_until = provider_health_state.probe_until\n")],
    ),
    mutation(
        RECORD,
        "leaves the group of a probe that never left where its lease put it",
        "queue::herd::a_probe_that_never_left_and_gave_nothing_back_is_due_again_at_once",
        &[edit(
            "perform relay.call_groups(array[p_group_id], array[v_now]);\n    return null;",
            "return null;",
        )],
    ),
];
