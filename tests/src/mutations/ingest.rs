//! Faults of the door over HTTP: whose keys are read and taken away, how many there are, what readiness is told.

use super::{Mutation, edit, mutation};

const ADD: &str = "ingest/add_ingest_key";
const RETIRE: &str = "ingest/retire_ingest_key";
const READ: &str = "ingest/read_ingest_site";
const READINESS: &str = "health/read_readiness";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        ADD,
        "lets a site have a third key",
        "cli::site_keys::a_key_is_printed_once_listed_by_its_id_and_retired",
        &[edit(">= 2", ">= 3")],
    ),
    mutation(
        ADD,
        "counts keys that another is just making as none",
        "store::ingest::of_two_that_make_the_second_key_at_once_one_does",
        &[edit("where site.site_id = p_site_id for update", "where site.site_id = p_site_id")],
    ),
    mutation(
        RETIRE,
        "takes away another site's key",
        "cli::site_keys::a_key_is_printed_once_listed_by_its_id_and_retired",
        &[edit("ingest_key.site_id = p_site_id and ", "")],
    ),
    mutation(
        READ,
        "reads every site's keys",
        "store::ingest::an_unknown_site_has_no_keys_and_the_clock_is_told_all_the_same",
        &[edit("\n    where ingest_key.site_id = p_site_id", "")],
    ),
    mutation(
        READINESS,
        "takes a paused task for one that is late",
        "functions::health::a_task_that_is_late_fails_ready_unless_somebody_paused_it",
        &[edit("task.paused_reason is not null", "false")],
    ),
];
