//! Faults of the claim, and of what it does with claims of others.

use super::{Mutation, edit, edit_all, mutation};

const COUNT: &str = "order/count_endings";
const CLAIM: &str = "claim/claim_offline_conversion_jobs_v2";
const SPLIT: &str = "claim/split_claim";
const WAKE: &str = "claim/wake_groups";
const FULL: &str = "claim/read_full_quota_keys";
const GATE: &str = "claim/pass_provider_gate";
const SHARE: &str = "claim/share_rows";
const LINE_FLOOR: &str = "claim/read_line_floor";
const BOOK: &str = "settle/book_provider_upload_attempt";
const RESERVE: &str = "quota/reserve_request";
const BUDGET: &str = "quota/read_budget";

pub(super) const MUTATIONS: &[Mutation] = &[
    mutation(
        CLAIM,
        "waits for a group that another claim visits",
        "queue::waits::nobody_waits_while_somebody_else_has_the_group",
        &[edit(
            "limit v_places\n      for no key update skip locked",
            "limit v_places\n      for no key update",
        )],
    ),
    mutation(
        CLAIM,
        "waits for a slot that another claim is taking",
        "delivery::fencing::a_claim_never_waits_for_a_row_that_somebody_holds",
        &[edit(
            "limit 1\n      for update skip locked\n      into v_slot",
            "limit 1\n      for update\n      into v_slot",
        )],
    ),
    mutation(
        CLAIM,
        "waits for a circuit that somebody is changing",
        "queue::waits::nobody_waits_while_somebody_else_has_the_circuit",
        &[edit("for update skip locked\n      into v_circuit", "for update\n      into v_circuit")],
    ),
    mutation(
        CLAIM,
        "waits for an urgent row that somebody holds",
        "queue::waits::nobody_waits_for_rows_that_somebody_else_has",
        &[edit("limit v_limit\n        for update skip locked", "limit v_limit\n        for update")],
    ),
    mutation(
        CLAIM,
        "waits for an ordinary row that somebody holds",
        "queue::waits::nobody_waits_for_rows_that_somebody_else_has",
        &[edit("from urgent)\n        for update skip locked", "from urgent)\n        for update")],
    ),
    mutation(
        CLAIM,
        "takes a slot that is in use",
        "delivery::fencing::no_more_uploads_are_in_flight_than_the_quota_key_has_slots",
        &[edit(
            "and upload_slot.slot_no <= v_quota.slots\n        and upload_slot.lease_until <= v_now",
            "and upload_slot.slot_no <= v_quota.slots",
        )],
    ),
    mutation(
        CLAIM,
        "does not mark the slot as taken",
        "delivery::fencing::no_more_uploads_are_in_flight_than_the_quota_key_has_slots",
        &[edit("set claim_token = v_token, lease_until = v_lease_until", "set claim_token = v_token")],
    ),
    mutation(
        FULL,
        "visits groups whose key was told to wait",
        "queue::starvation::groups_that_cannot_send_keep_nobody_from_the_very_next_claim",
        &[edit("where quota.throttled_until > p_now", "where false")],
    ),
    mutation(
        CLAIM,
        "takes more of a group than was asked for",
        "queue::limits::a_claim_takes_no_more_than_it_was_asked_for",
        &[
            edit(
                "v_limit := least(\n        p_batch_limit, v_left,",
                "v_limit := least(\n        10000, v_left,",
            ),
            edit("+ v_spare, p_batch_limit))", "+ v_spare, 10000))"),
        ],
    ),
    mutation(
        CLAIM,
        "probes with everything that waits",
        "queue::herd::one_of_fifty_gets_the_probe_and_the_others_get_nothing",
        &[edit("else v_circuit.probe_limit end", "else v_limit end")],
    ),
    mutation(
        CLAIM,
        "probes with five rows after a probe that failed",
        "delivery::circuit::a_row_that_fails_every_request_does_not_keep_a_small_groups_circuit_open",
        &[edit(
            "case when v_circuit.failure_count > c_failures_to_open then 1 else",
            "case when false then 1 else",
        )],
    ),
    mutation(
        CLAIM,
        "sends while the circuit is open",
        "queue::herd::an_open_circuit_is_passed_over_whenever_its_groups_turn_comes",
        &[edit("v_circuit.state = 'OPEN' and v_circuit.next_probe_at > v_now\n", "false\n")],
    ),
    mutation(
        CLAIM,
        "sends a second probe while the first is out",
        "queue::herd::what_comes_in_during_a_probe_waits_for_its_end",
        &[edit("v_circuit.state = 'HALF_OPEN' and v_circuit.probe_until > v_now\n", "false\n")],
    ),
    mutation(
        CLAIM,
        "keeps the old epoch while probing",
        "queue::herd::what_comes_in_during_a_probe_waits_for_its_end",
        &[edit(
            "set state = 'HALF_OPEN', epoch = v_circuit.epoch + 1,",
            "set state = 'HALF_OPEN', epoch = v_circuit.epoch,",
        )],
    ),
    mutation(
        CLAIM,
        "gives the probe the old epoch",
        "queue::herd::what_comes_in_during_a_probe_waits_for_its_end",
        &[edit(
            "v_token, p_run_id, v_group.group_id, v_circuit.epoch + v_probing::integer,",
            "v_token, p_run_id, v_group.group_id, v_circuit.epoch,",
        )],
    ),
    mutation(
        CLAIM,
        "uses a sequence number a second time",
        "delivery::line::a_group_that_has_nothing_left_leaves_the_line",
        &[edit("pg_catalog.array_agg(live.seq + 1)", "pg_catalog.array_agg(live.seq)")],
    ),
    mutation(
        CLAIM,
        "sends what has expired",
        "delivery::retries::a_row_past_its_time_ends_without_being_sent",
        &[edit("from taken where taken.expires_at > v_now order by", "from taken order by")],
    ),
    mutation(
        CLAIM,
        "forgets the urgent rows",
        "delivery::retries::rows_near_their_end_go_first",
        &[edit(
            "and ready.band = 0\n          and ready.next_attempt_at >= v_urgent_floor\n          and ready.next_attempt_at <= v_now",
            "and ready.band = 2\n          and ready.next_attempt_at <= v_now",
        )],
    ),
    mutation(
        CLAIM,
        "sends what is not due yet",
        "queue::turns::rows_for_later_do_not_send_a_group_to_a_later_turn",
        &[edit(
            "and ready.next_attempt_at >= v_floor\n          and ready.next_attempt_at <= v_now\n        order by",
            "and ready.next_attempt_at >= v_floor\n        order by",
        )],
    ),
    mutation(
        CLAIM,
        "sends a row that sank three requests with the others",
        "queue::limits::a_row_that_sank_three_requests_goes_alone",
        &[
            edit("due.request_failures >= 3 and due.failed_epoch", "false and due.failed_epoch"),
            edit("first.request_failures >= 3 and first.failed_epoch", "false and first.failed_epoch"),
        ],
    ),
    mutation(
        CLAIM,
        "counts whole requests of an older epoch against a row",
        "queue::limits::only_a_request_that_failed_as_a_whole_is_counted_against_its_rows",
        &[edit(
            "case when live.failed_epoch = v_circuit.epoch then live.request_failures else 0::smallint end",
            "live.request_failures",
        )],
    ),
    mutation(
        CLAIM,
        "forgets how often a row's claims were lost",
        "delivery::crashes::a_row_whose_claims_are_lost_twenty_times_ends",
        &[edit("pg_catalog.array_agg(live.lost_claims)", "pg_catalog.array_agg(0::smallint)")],
    ),
    mutation(
        CLAIM,
        "forgets that a row may have been delivered",
        "queue::marks::a_mark_outlives_an_answer_that_puts_off",
        &[edit("pg_catalog.array_agg(live.maybe_delivered)", "pg_catalog.array_agg(false)")],
    ),
    mutation(
        CLAIM,
        "leaves lapsed claims to the task recover",
        "queue::waits::nobody_waits_for_a_lapsed_claim_that_is_just_being_settled",
        &[edit("perform relay.return_lapsed_claims(20, 0, null, v_now);", "null;")],
    ),
    mutation(
        CLAIM,
        "never looks for groups that were left out of the line",
        "delivery::claims::a_group_left_out_of_the_line_comes_back_however_busy_the_others_are",
        &[edit("perform relay.wake_groups(v_now);", "")],
    ),
    mutation(
        WAKE,
        "wakes groups that are held",
        "queue::turns::the_search_for_forgotten_groups_wakes_none_that_waits",
        &[edit(
            "delivery_group.hold_id is null and delivery_group.turn_at > p_now",
            "delivery_group.turn_at > p_now",
        )],
    ),
    mutation(
        WAKE,
        "wakes groups whose circuit is open or that were told to wait",
        "queue::turns::the_search_for_forgotten_groups_wakes_none_that_waits",
        &[edit(
            "soonest.next_attempt_at, p_now, delivery_group.throttled_until, delivery_group.circuit_until,",
            "soonest.next_attempt_at, p_now,",
        )],
    ),
    mutation(
        SPLIT,
        "leaves the whole beside its parts",
        "delivery::fencing::the_parts_of_a_claim_have_fences_of_their_own",
        &[edit(
            "delete from relay.inflight\n  where inflight.claim_token = p_claim_token and inflight.lease_until > v_now\n  returning inflight.* into v_claim;",
            "select inflight.* from relay.inflight where inflight.claim_token = p_claim_token into v_claim;",
        )],
    ),
    mutation(
        SPLIT,
        "cuts a claim that has lapsed",
        "delivery::crashes::a_claim_that_lapsed_is_not_cut",
        &[edit("and inflight.lease_until > v_now\n  returning", "\n  returning")],
    ),
    mutation(
        CLAIM,
        "gives a lone large group one place of many",
        "delivery::fairness::a_large_group_takes_the_places_that_nobody_else_wants",
        &[edit(
            "exit when v_places <= 0 or v_left <= 0;",
            "exit when v_places < p_group_limit or v_left <= 0;",
        )],
    ),
    mutation(
        COUNT,
        "writes the metrics of what expired in the order of the line",
        "delivery::line::a_claim_and_the_expiry_walk_never_wait_for_each_other_in_a_ring",
        &[
            edit(
                "group by one.group_id\n    order by one.group_id\n",
                "group by one.group_id\n    order by min(one.place)\n",
            ),
            edit(
                "from unnest(p_group_ids, p_outcomes) as one (group_id, outcome)",
                "from unnest(p_group_ids, p_outcomes) with ordinality as one (group_id, outcome, place)",
            ),
        ],
    ),
    mutation(
        CLAIM,
        "lays the floor at the clock itself",
        "delivery::floor::the_floor_stays_behind_the_clock_for_those_that_are_on_their_way_in",
        &[edit(
            "c_floor_lag constant interval := interval '30 seconds'",
            "c_floor_lag constant interval := interval '0 seconds'",
        )],
    ),
    mutation(
        CLAIM,
        "never lays a floor",
        "delivery::floor::a_claim_lays_a_floor",
        &[edit(
            "floor_at = greatest(v_floor, least(v_more_ordinary, v_now - c_floor_lag)),",
            "floor_at = '-infinity',",
        )],
    ),
    mutation(
        CLAIM,
        "lets no small batch linger",
        "delivery::budget::a_small_batch_lingers_where_requests_are_scarce_and_a_full_or_urgent_one_does_not",
        &[edit("if v_used > 0 and v_first.band = 1", "if false and v_first.band = 1")],
    ),
    mutation(
        CLAIM,
        "lets urgent rows linger",
        "delivery::budget::a_small_batch_lingers_where_requests_are_scarce_and_a_full_or_urgent_one_does_not",
        &[edit("if v_used > 0 and v_first.band = 1 and", "if v_used > 0 and")],
    ),
    mutation(
        CLAIM,
        "claims what the budget has no room for",
        "delivery::budget::a_used_up_budget_leaves_the_rest_where_it_is",
        &[edit("if v_requests <= (", "if v_requests < -1000000 + (")],
    ),
    mutation(
        CLAIM,
        "uses slots that were taken away",
        "delivery::budget::slots_can_be_set_and_bound_what_is_in_flight",
        &[edit("        and upload_slot.slot_no <= v_quota.slots\n", "")],
    ),
    mutation(
        SHARE,
        "shares rows by the backlog itself",
        "delivery::fairness::scarce_rows_go_by_the_root_of_the_backlog_and_nobody_gets_nothing",
        &[edit_all("pg_catalog.sqrt(counted.due)", 2, "counted.due")],
    ),
    mutation(
        SHARE,
        "gives every group the same",
        "delivery::fairness::scarce_rows_go_by_the_root_of_the_backlog_and_nobody_gets_nothing",
        &[edit_all("pg_catalog.sqrt(counted.due)", 2, "1.0")],
    ),
    mutation(
        CLAIM,
        "visits every group that has nothing",
        "delivery::line::idle_groups_at_the_head_hide_nobody",
        &[edit("perform relay.clear_line(p_provider_key, v_line_floor, v_now);", "null;")],
    ),
    mutation(
        CLAIM,
        "lays no floor under urgent rows",
        "delivery::floor::urgent_rows_have_a_floor_of_their_own",
        &[edit(
            "urgent_floor_at = greatest(v_urgent_floor, least(v_more_urgent, v_now - c_floor_lag)),",
            "urgent_floor_at = '-infinity',",
        )],
    ),
    mutation(
        "expiry/expire_conversions",
        "puts rows first below the floor of the urgent ones",
        "delivery::floor::a_row_that_is_put_first_is_found_at_once",
        &[edit("set urgent_floor_at = '-infinity'", "set urgent_floor_at = delivery_group.urgent_floor_at")],
    ),
    mutation(
        BOOK,
        "lets a second prober in while the first one's request is out",
        "delivery::circuit::a_probe_that_leaves_late_is_not_overtaken",
        &[edit("  perform relay.extend_probe(v_claim, v_lease_until);\n", "")],
    ),
    mutation(
        GATE,
        "claims for a paused provider",
        "delivery::pauses::a_paused_provider_is_not_claimed_for_until_it_is_resumed",
        &[edit("and pause.paused_until > p_now;\n  if found then", "and false;\n  if found then")],
    ),
    mutation(
        GATE,
        "waits for whoever probes the provider",
        "delivery::outage::one_of_many_probes_for_all_and_nobody_waits",
        &[edit("for update skip locked", "for update")],
    ),
    mutation(
        GATE,
        "lets everybody in while the provider's circuit is open",
        "delivery::outage::more_than_half_of_the_active_groups_open_the_providers_circuit",
        &[edit("case when v_state is null then 'shut'", "case when v_state is null then 'open'")],
    ),
    mutation(
        GATE,
        "probes a provider with all of its groups",
        "delivery::outage::one_request_probes_for_all_and_a_failure_opens_again",
        &[edit("then 'open' else 'probe' end", "then 'open' else 'open' end")],
    ),
    mutation(
        LINE_FLOOR,
        "lays the line's floor at the clock itself",
        "delivery::floor::the_lines_floor_stays_behind_the_clock",
        &[edit(
            "c_lag constant interval := interval '30 seconds'",
            "c_lag constant interval := interval '0 seconds'",
        )],
    ),
    mutation(
        LINE_FLOOR,
        "believes the line's floor for ever",
        "delivery::floor::a_group_below_the_lines_floor_is_found_when_that_is_no_longer_believed",
        &[edit(
            "case when v_line.floor_until > p_now then v_line.floor_at else '-infinity' end",
            "v_line.floor_at",
        )],
    ),
    mutation(
        WAKE,
        "never looks for what was left out for long",
        "delivery::floor::a_row_that_comes_in_below_the_floor_is_found_when_the_floor_is_no_longer_believed",
        &[edit("case when found then '-infinity' else", "case when false then '-infinity' else")],
    ),
    mutation(
        RESERVE,
        "books for later than its caller waits",
        "delivery::budget::no_minute_holds_more_requests_than_its_limit",
        &[edit(
            "  if leaves_at > p_now + pg_catalog.make_interval(secs => p_wait_seconds) then",
            "  if false then",
        )],
    ),
    mutation(
        RESERVE,
        "looks at the budget without its lock",
        "delivery::budget::many_at_once_never_book_more_than_the_budget",
        &[edit("for no key update into v_quota", "into v_quota")],
    ),
    mutation(
        BUDGET,
        "lets a whole window's requests go at once, and more after them",
        "delivery::budget::no_minute_holds_more_requests_than_its_limit",
        &[
            edit("greatest(1, p_quota.per_minute / 10)", "greatest(1, p_quota.per_minute)"),
            edit("(window_limit.requests - window_limit.burst + 1)", "window_limit.requests"),
        ],
    ),
    mutation(
        SPLIT,
        "renews a slot that is another's by now",
        "queue::slots::nobody_renews_a_slot_that_is_anothers_by_now",
        &[edit("\n    and upload_slot.claim_token = v_claim.slot_token;", ";")],
    ),
    mutation(
        SPLIT,
        "leaves the other parts with a lease that is not their slot's",
        "queue::slots::no_part_outlives_its_slot_however_often_a_claim_is_cut",
        &[edit("if v_claim.slot_token <> p_claim_token then", "if false then")],
    ),
    mutation(
        SPLIT,
        "forgets where the first request went",
        "queue::marks::a_cut_claim_remembers_where_its_request_went",
        &[edit(
            "coalesce(v_claim.sent_targets[row.place], v_claim.sent_targets[1], row.target)",
            "row.target",
        )],
    ),
];
