//! Faults of the circuit.

use super::{Mutation, edit, mutation};

const RECORD: &str = "circuit/record_provider_outcome";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        RECORD,
        "heeds answers of an older epoch",
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
        &[edit(
            "v_circuit.failure_count + 1 >= c_failures_to_open",
            "v_circuit.failure_count + 1 > c_failures_to_open",
        )],
    ),
    mutation(
        RECORD,
        "stays half open after a probe that failed",
        &[edit(
            "(v_circuit.state = 'HALF_OPEN' or v_circuit.failure_count + 1 >= c_failures_to_open)",
            "v_circuit.state <> 'HALF_OPEN' and v_circuit.failure_count + 1 >= c_failures_to_open",
        )],
    ),
    mutation(
        RECORD,
        "closes only by a delivery",
        &[edit(
            "if v_circuit.state = 'HALF_OPEN' then",
            "if v_circuit.state = 'HALF_OPEN' and p_result = 'success' then",
        )],
    ),
    mutation(
        RECORD,
        "keeps its count after a delivery",
        &[edit("set failure_count = 0, changed_at = v_now", "set changed_at = v_now")],
    ),
    mutation(
        RECORD,
        "keeps its count when it closes",
        &[edit("      state = 'CLOSED',\n      failure_count = 0,", "      state = 'CLOSED',")],
    ),
    mutation(
        RECORD,
        "leaves the group where it stands in line when it opens",
        &[edit("else greatest(v_probe_at, delivery_group.throttled_until)", "else delivery_group.turn_at")],
    ),
    mutation(
        RECORD,
        "makes a probe that never left wait for its lease",
        &[edit("set probe_until = v_now\n", "set probe_until = provider_health_state.probe_until\n")],
    ),
];
