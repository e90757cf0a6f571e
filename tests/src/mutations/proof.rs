//! Faults of the proof of accounting.

use super::{Mutation, edit, mutation};

const SLICE: &str = "reading/audit_slice";
const READY: &str = "reading/audit_ready";
const KEYS: &str = "reading/audit_keys";

const KINDS: &str = "store::audit::every_kind_of_fault_is_found";
const ANOTHER: &str = "store::audit::a_key_of_another_conversion_is_found_from_both_sides";
const SIZES: &str = "store::audit::slices_of_any_size_add_up_to_the_whole";
const END: &str = "store::audit::a_slice_ends_where_it_is_told_to";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        SLICE,
        "ends a slice one conversion early",
        SIZES,
        &[edit("  v_from := coalesce(reached, p_since", "  v_from := coalesce(reached + 1, p_since")],
    ),
    mutation(
        SLICE,
        "walks on below its end",
        END,
        &[edit("conversion.conversion_id >= coalesce(p_since, 0)", "true")],
    ),
    mutation(
        SLICE,
        "forgets what is on its way in",
        "store::audit::what_was_on_its_way_in_is_looked_at_by_the_next_night",
        &[edit("- interval '10 minutes'", "+ interval '10 minutes'")],
    ),
    mutation(
        READY,
        "believes that what waits should",
        "store::audit::what_waits_where_it_should_not_is_found",
        &[edit(
            "(said.group_id, said.seq, said.due_at) is distinct from",
            "(said.group_id, said.seq) is distinct from",
        )],
    ),
    mutation(SLICE, "believes the ledger", KINDS, &[edit("where ledger.one is null", "where false")]),
    mutation(
        SLICE,
        "takes any key of that name",
        ANOTHER,
        &[edit("        and conversion_key.conversion_id = conversion.conversion_id\n", "")],
    ),
    mutation(
        KEYS,
        "finds no key without its conversion",
        KINDS,
        &[edit("said.conversion_id is null\n", "false\n")],
    ),
    mutation(
        KEYS,
        "takes any conversion for the key's own",
        ANOTHER,
        &[edit("(said.external_id, said.group_id) <> (seen.external_id, seen.group_id)", "false")],
    ),
];
