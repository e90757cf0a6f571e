-- Time passes by '{interval}': whatever is waited for, and whatever is compared with now, lies so much earlier.
update relay.delivery_group set
  turn_at = turn_at - interval '{interval}',
  throttled_until = throttled_until - interval '{interval}',
  circuit_until = circuit_until - interval '{interval}',
  floor_at = floor_at - interval '{interval}',
  urgent_floor_at = urgent_floor_at - interval '{interval}',
  floor_until = floor_until - interval '{interval}',
  paused_until = paused_until - interval '{interval}',
  linger_until = linger_until - interval '{interval}',
  probed_at = probed_at - interval '{interval}';
update relay.ready set
  next_attempt_at = next_attempt_at - interval '{interval}', expires_at = expires_at - interval '{interval}';
update relay.conversion set
  due_at = due_at - interval '{interval}', expires_at = expires_at - interval '{interval}';
update relay.conversion_outcome set next_attempt_at = next_attempt_at - interval '{interval}';
update relay.blocked set expires_at = expires_at - interval '{interval}';
update relay.order_call set call_at = call_at - interval '{interval}';
update relay.held set expires_at = expires_at - interval '{interval}';
update relay.inflight set
  claimed_at = claimed_at - interval '{interval}', lease_until = lease_until - interval '{interval}';
update relay.upload_slot set lease_until = lease_until - interval '{interval}';
update relay.quota set
  throttled_until = throttled_until - interval '{interval}',
  minute_at = minute_at - interval '{interval}',
  day_at = day_at - interval '{interval}';
update relay.provider_circuit set
  next_probe_at = next_probe_at - interval '{interval}', probe_until = probe_until - interval '{interval}';
update relay.task_lock set lease_until = lease_until - interval '{interval}';
update relay.task_pause set paused_until = paused_until - interval '{interval}';
update relay.task_state set
  registered_at = registered_at - interval '{interval}', last_success_at = last_success_at - interval '{interval}';
update relay.pause set paused_until = paused_until - interval '{interval}';
update relay.provider_health_state set
  next_probe_at = next_probe_at - interval '{interval}', probe_until = probe_until - interval '{interval}';
update relay.receipt set
  next_poll_at = next_poll_at - interval '{interval}', created_at = created_at - interval '{interval}';
update relay.provider_credentials set updated_at = updated_at - interval '{interval}';
update relay.vault_key set created_at = created_at - interval '{interval}';
update relay.upkeep set done_at = done_at - interval '{interval}';
alter table relay.provider_upload_attempts disable trigger provider_upload_attempts_once;
update relay.provider_upload_attempts set opened_at = opened_at - interval '{interval}' where closed_at is null;
alter table relay.provider_upload_attempts enable trigger provider_upload_attempts_once;
update relay.line set
  floor_at = floor_at - interval '{interval}',
  floor_until = floor_until - interval '{interval}',
  looked_at = looked_at - interval '{interval}';
update relay.hold set lifts_at = lifts_at - interval '{interval}' where lifts_at is not null;
update relay.provider_upload_metrics set last_arrival_at = last_arrival_at - interval '{interval}'
where last_arrival_at is not null;
update relay.gauge_mark set marked_at = marked_at - interval '{interval}';
update relay.gauge set taken_at = taken_at - interval '{interval}';
update relay.receipt_rest set kept_at = kept_at - interval '{interval}';
