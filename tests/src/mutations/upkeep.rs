//! Faults of what is ended by hand, of erasing, of sites that are removed, of the end of time, and of scores.

use super::{Mutation, edit, mutation};

const END: &str = "cancel/end_waiting_conversions";
const CANCEL: &str = "cancel/cancel_conversions";
const ERASE: &str = "erasure/erase_person";
const REMOVE: &str = "site/remove_site";
const SWEEP: &str = "site/sweep_removed_sites";
const TAKE_IN: &str = "enqueue/take_in_offline_conversions";
const RELEASE: &str = "holds/release_some_holds";
const PUT: &str = "credentials/put_provider_credentials";
const EXPIRE: &str = "expiry/expire_waiting_conversions";
const TALLY: &str = "score/tally_hours";
const LEFTOVERS: &str = "prune/prune_leftovers";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        END,
        "waits for what a claim has locked",
        "upkeep::cancel::what_somebody_has_locked_is_passed_over_and_nobody_waits",
        &[edit("for update of ready skip locked", "for update of ready")],
    ),
    mutation(
        END,
        "forgets that a request may have delivered it",
        "upkeep::cancel::what_may_have_been_delivered_stays_in_doubt",
        &[edit("case when ending.maybe_delivered then 'AMBIGUOUS' end", "null")],
    ),
    mutation(
        END,
        "tells no order that its head ended",
        "upkeep::cancel::an_adjustment_of_what_was_cancelled_alone_ends_with_it",
        &[edit("    perform relay.call_orders(v_ended_groups, v_ended_ids, p_now);\n", "")],
    ),
    mutation(
        END,
        "ends a head before what waits behind it",
        "upkeep::cancel::what_waits_behind_a_head_ends_before_it",
        &[edit("coalesce(pg_catalog.cardinality(v_blocked), 0) < p_limit", "true")],
    ),
    mutation(
        END,
        "leaves what is parked",
        "upkeep::cancel::what_waits_for_a_site_ends_wherever_it_waits",
        &[edit("where hold.group_id = any (p_group_ids) and hold.lifted_at is null", "where false")],
    ),
    mutation(
        END,
        "counts no ending",
        "upkeep::cancel::what_waits_for_a_site_ends_wherever_it_waits",
        &[edit("pg_catalog.array_fill('CANCELLED'::text", "pg_catalog.array_fill('NOTHING'::text")],
    ),
    mutation(
        END,
        "uses a sequence number a second time",
        "upkeep::cancel::of_those_that_are_named_the_others_go_on",
        &[edit("ending.seq + 1, 'CANCELLED'", "ending.seq + 2, 'CANCELLED'")],
    ),
    mutation(
        END,
        "ends one that is named twice two times",
        "upkeep::cancel::of_those_that_are_named_the_others_go_on",
        &[edit(
            "from (select distinct named.conversion_id from unnest(p_conversion_ids) as named (conversion_id)) as chosen",
            "from unnest(p_conversion_ids) as chosen (conversion_id)",
        )],
    ),
    mutation(
        CANCEL,
        "says that nothing waits where something does",
        "upkeep::cancel::much_that_waits_ends_in_steps",
        &[edit("exists (select from relay.ready where ready.group_id = mine.group_id)", "false")],
    ),
    mutation(
        CANCEL,
        "does not tell of what is on its way",
        "upkeep::cancel::what_is_on_its_way_is_told_of_and_not_called_back",
        &[edit("where inflight.group_id = any (v_groups)", "where false")],
    ),
    mutation(
        ERASE,
        "leaves the identifiers",
        "upkeep::erase::nothing_says_who_it_was_and_that_something_was_stays",
        &[edit("'click_ids', 'user', 'consent'", "'click_ids', 'consent'")],
    ),
    mutation(
        ERASE,
        "leaves the click ids",
        "upkeep::erase::a_click_is_found_wherever_it_stands_and_kept_nowhere",
        &[edit("'click_ids', 'user', 'consent'", "'user', 'consent'")],
    ),
    mutation(
        ERASE,
        "leaves the custom variables",
        "upkeep::erase::a_click_is_found_wherever_it_stands_and_kept_nowhere",
        &[edit("'custom_variables', 'clicked_at'", "'clicked_at'")],
    ),
    mutation(
        ERASE,
        "leaves a digest by which a guess can be proved",
        "upkeep::erase::nothing_brings_it_back_but_later_sales_of_the_same_person_go",
        &[edit("set digest = '\\x'", "set digest = conversion_key.digest")],
    ),
    mutation(
        ERASE,
        "lets what waits go on without a name",
        "upkeep::erase::a_walk_that_broke_off_goes_on_where_it_stopped",
        &[edit(
            "relay.end_waiting_conversions(v_group_ids, v_ids, 'ERASED'",
            "relay.end_waiting_conversions('{}', '{}', 'ERASED'",
        )],
    ),
    mutation(
        ERASE,
        "erases who came after it was asked for",
        "upkeep::erase::a_walk_that_broke_off_goes_on_where_it_stopped",
        &[edit("seen.created_at <= v_erasure.requested_at", "true")],
    ),
    mutation(
        ERASE,
        "forgets the rest of their orders",
        "upkeep::erase::what_else_was_said_of_their_order_goes_too",
        &[edit("or (due.group_id, due.order_hash) in (", "or false and (due.group_id, due.order_hash) in (")],
    ),
    mutation(
        REMOVE,
        "keeps the credentials",
        "upkeep::removal::all_that_opens_a_door_goes_and_what_waits_ends",
        &[edit(
            "delete from relay.provider_credentials where provider_credentials.group_id = any (v_groups)",
            "delete from relay.provider_credentials where false",
        )],
    ),
    mutation(
        REMOVE,
        "leaves a hold that stops nobody any more",
        "upkeep::removal::a_hold_of_its_client_ends_with_the_last_site_that_it_stopped",
        &[edit(
            "where hold.hold_id = any (v_wide)\n    and hold.lifted_at is null",
            "where false\n    and hold.lifted_at is null",
        )],
    ),
    mutation(
        TAKE_IN,
        "takes in for a site that was removed",
        "upkeep::removal::all_that_opens_a_door_goes_and_what_waits_ends",
        &[edit(" and given.site_id <> all (v_removed)", "")],
    ),
    mutation(
        "credentials/put_provider_credentials",
        "decides of a moment before a removal that is under way",
        "upkeep::removal::credentials_that_come_in_the_middle_of_a_removal_bring_the_site_back",
        &[edit("  perform from relay.site where site.site_id = p_site_id for no key update;\n", "")],
    ),
    mutation(
        RELEASE,
        "lets a hand bring a removed site back",
        "upkeep::removal::no_hand_releases_it_but_credentials_bring_it_back",
        &[edit("      and hold.code <> 'SITE_REMOVED'\n", "")],
    ),
    mutation(
        PUT,
        "leaves a site removed that has credentials again",
        "upkeep::removal::no_hand_releases_it_but_credentials_bring_it_back",
        &[edit("set removed_at = null, updated_at", "set updated_at")],
    ),
    mutation(
        SWEEP,
        "ends what waits for sites that are there",
        "upkeep::expiry::a_conversion_ends_wherever_it_waits",
        &[edit(
            "    where site.removed_at is not null\n      and (p_site_id is null or site.site_id = p_site_id)\n      and (\n",
            "    where (p_site_id is null or site.site_id = p_site_id)\n      and (\n",
        )],
    ),
    mutation(
        EXPIRE,
        "ends what has time yet",
        "upkeep::expiry::one_sites_rows_are_put_first_by_itself",
        &[edit(
            "      where due.expires_at <= v_now\n    )",
            "      where due.expires_at <= v_now + interval '2 days'\n    )",
        )],
    ),
    mutation(
        EXPIRE,
        "ends what waits for other sites",
        "upkeep::expiry::one_site_is_ended_by_itself",
        &[edit(
            "      and (p_site_id is null or delivery_group.site_id = p_site_id)\n      and exists",
            "      and exists",
        )],
    ),
    mutation(
        EXPIRE,
        "stops where more is parked than a step ends",
        "upkeep::expiry::more_that_is_parked_than_a_step_ends_is_ended_by_the_next",
        &[edit("if pg_catalog.cardinality(v_ended_ids) >= p_limit then", "if false then")],
    ),
    mutation(
        TALLY,
        "counts a dead letter at each of its ends",
        "upkeep::scores::a_dead_letter_that_goes_again_has_not_ended",
        &[edit("when told.outcome = 'REQUEUED' then -1", "when told.outcome = 'REQUEUED' then 0")],
    ),
    mutation(
        TALLY,
        "counts a day a second time",
        "upkeep::scores::a_second_run_changes_nothing_and_a_night_reads_one_day",
        &[
            edit("scored_day.hours = 24)", "false)"),
            edit("  if v_hours = 24 then", "  if false then"),
            edit("  v_from := v_day + v_hours * interval '1 hour';", "  v_from := v_day;"),
        ],
    ),
    mutation(
        TALLY,
        "counts an hour of a full day twice",
        "upkeep::scores::a_full_day_is_counted_by_the_hour_and_comes_to_the_same",
        &[edit("  v_from := v_day + v_hours * interval '1 hour';", "  v_from := v_day;")],
    ),
    mutation(
        LEFTOVERS,
        "forgets an erasure that is not finished",
        "upkeep::kept::what_is_over_goes_from_every_table_and_what_lives_stays",
        &[edit("where erasure.finished_at < v_kept_from", "where erasure.requested_at < v_kept_from")],
    ),
];
