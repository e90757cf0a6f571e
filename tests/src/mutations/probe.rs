//! Faults of looks at credentials: whose turn it is, what they hold and what they let go.

use super::{Mutation, edit, mutation};

const CLAIM: &str = "probe/claim_groups_to_probe";
const HOLD: &str = "probe/hold_group";
const LIFT: &str = "holds/release_some_holds";
const FREE_PARKED: &str = "holds/free_parked";
const RESERVE: &str = "probe/reserve_probe_requests";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        CLAIM,
        "looks at a site that an operator paused",
        "delivery::probes::a_paused_site_and_one_without_credentials_are_left_alone",
        &[edit("\n      and delivery_group.paused_until <= v_now", "")],
    ),
    mutation(
        CLAIM,
        "forgets that it looked",
        "delivery::probes::each_group_is_looked_at_once_in_twenty_hours_and_a_held_one_every_hour",
        &[edit("set probed_at = v_now", "set probed_at = delivery_group.probed_at")],
    ),
    mutation(
        CLAIM,
        "looks at held groups no sooner than at quiet ones",
        "delivery::probes::each_group_is_looked_at_once_in_twenty_hours_and_a_held_one_every_hour",
        &[edit("then p_held_seconds", "then p_quiet_seconds")],
    ),
    mutation(
        CLAIM,
        "passes over the holds of conversion actions",
        "delivery::probes::an_action_that_is_mended_lets_its_own_conversions_go",
        &[edit("part.scope = 'conversion_action' and part.lifted_at is null", "false")],
    ),
    mutation(
        HOLD,
        "holds what has new credentials",
        "delivery::probes::credentials_that_came_after_a_look_are_not_held_for_what_it_found",
        &[edit("\n    and provider_credentials.updated_at <= p_probed_at", "")],
    ),
    mutation(
        LIFT,
        "lifts a hold that was lifted",
        "delivery::probes::a_hold_of_several_groups_is_lifted_for_all_of_them_and_once",
        &[
            edit(
                "hold.hold_id = any (v_hold_ids) and hold.lifted_at is null",
                "hold.hold_id = any (v_hold_ids)",
            ),
            edit(
                "where hold.lifted_at is null\n      and hold.lifts_at is null",
                "where hold.lifts_at is null",
            ),
        ],
    ),
    mutation(
        FREE_PARKED,
        "lets go what other holds parked",
        "delivery::probes::an_action_that_is_mended_lets_its_own_conversions_go",
        &[edit(
            "where held.hold_id = any (p_hold_ids)\n    limit",
            "where held.group_id in (select h.group_id from relay.hold h where h.hold_id = any (p_hold_ids))\n    limit",
        )],
    ),
    mutation(
        LIFT,
        "frees a group that something else holds",
        "delivery::probes::what_else_holds_a_group_keeps_holding_it",
        &[edit("where hold.lifted_at is null\n      and (", "where false\n      and (")],
    ),
    mutation(
        RESERVE,
        "asks for more than the budget has",
        "delivery::probes::a_look_waits_for_the_budget_that_it_shares_and_sends_nothing_beyond_it",
        &[edit("reserved := v_one.reserved;", "")],
    ),
];
