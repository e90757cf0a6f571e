//! Faults of what becomes of data keys and of what they seal.

use super::{Mutation, edit, mutation};

const RESEAL: &str = "keys/reseal_secrets";
const READ: &str = "keys/read_secrets_to_reseal";
const PRUNE: &str = "keys/prune_vault_keys";
const STANDING: &str = "keys/read_vault_standing";

const RACE: &str = "aws::rotation::credentials_that_are_put_meanwhile_win_over_what_was_read_before";
const RESUMED: &str = "aws::rotation::a_run_goes_on_where_the_one_before_left_off";
const RECENT: &str = "aws::rotation::a_key_that_was_replaced_a_moment_ago_stays";
const ROTATED: &str = "aws::rotation::a_new_key_takes_the_place_of_the_old_one_which_goes_a_day_later";
const REFUSED: &str = "aws::kms::a_key_that_is_refused_holds_uploads_which_go_on_by_themselves";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        RESEAL,
        "puts what was read over credentials that were put since",
        RACE,
        &[edit(" and provider_credentials.sealed = resealed.before", "")],
    ),
    mutation(
        READ,
        "begins at the beginning wherever a run left off",
        RESUMED,
        &[edit("provider_credentials.group_id > p_after and ", "")],
    ),
    mutation(
        READ,
        "forgets the keys with which sites sign",
        ROTATED,
        &[edit("ingest_key.key_version < v_newest", "ingest_key.key_version < v_newest - 1")],
    ),
    mutation(
        PRUNE,
        "deletes a key that was replaced a moment ago",
        RECENT,
        &[edit(
            "newer.key_version > vault_key.key_version and newer.created_at <= v_before",
            "newer.key_version > vault_key.key_version",
        )],
    ),
    mutation(
        STANDING,
        "does not find the hold of a key that opens again",
        REFUSED,
        &[edit("'key version ' || vault_key.key_version", "'version ' || vault_key.key_version")],
    ),
];
