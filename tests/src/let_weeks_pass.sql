-- {weeks} weeks pass: every id of a conversion, a request and a run, and every time that goes with it, lies so much earlier.
select relay.keep_partitions(0, to_timestamp(1704067200 + second) - interval '{weeks} weeks')
from (
  select distinct (conversion_id >> 22) / 604800 * 604800 as second from relay.conversion
  union
  select distinct (attempt_id >> 22) / 604800 * 604800 from relay.provider_upload_attempts
) as weeks;
alter table relay.provider_upload_attempts disable trigger provider_upload_attempts_once;
alter table relay.task_runs disable trigger task_runs_once;
update relay.conversion_key set conversion_id = conversion_id - ({weeks}::bigint * 604800 << 22);
update relay.conversion set
  conversion_id = conversion_id - ({weeks}::bigint * 604800 << 22), created_at = created_at - interval '{weeks} weeks';
update relay.conversion_outcome set
  conversion_id = conversion_id - ({weeks}::bigint * 604800 << 22), attempt_id = attempt_id - ({weeks}::bigint * 604800 << 22),
  recorded_at = recorded_at - interval '{weeks} weeks';
update relay.ready set conversion_id = conversion_id - ({weeks}::bigint * 604800 << 22);
update relay.blocked set
  conversion_id = conversion_id - ({weeks}::bigint * 604800 << 22), head = head - ({weeks}::bigint * 604800 << 22);
update relay.order_chain set head = head - ({weeks}::bigint * 604800 << 22);
update relay.held set conversion_id = conversion_id - ({weeks}::bigint * 604800 << 22);
update relay.inflight set
  conversion_ids = array(select id - ({weeks}::bigint * 604800 << 22) from unnest(conversion_ids) as id);
update relay.provider_upload_attempts set
  attempt_id = attempt_id - ({weeks}::bigint * 604800 << 22), run_id = run_id - ({weeks}::bigint * 604800 << 22),
  opened_at = case when closed_at is null then opened_at else opened_at - interval '{weeks} weeks' end,
  closed_at = closed_at - interval '{weeks} weeks';
update relay.receipt set
  attempt_id = attempt_id - ({weeks}::bigint * 604800 << 22), created_at = created_at - interval '{weeks} weeks';
update relay.erasure set
  conversion_id = greatest(0, conversion_id - ({weeks}::bigint * 604800 << 22)),
  id_to = greatest(0, id_to - ({weeks}::bigint * 604800 << 22)),
  requested_at = requested_at - interval '{weeks} weeks', finished_at = finished_at - interval '{weeks} weeks';
update relay.hold set
  opened_at = opened_at - interval '{weeks} weeks', lifted_at = lifted_at - interval '{weeks} weeks';
update relay.task_runs set
  run_id = run_id - ({weeks}::bigint * 604800 << 22), started_at = started_at - interval '{weeks} weeks';
alter table relay.provider_upload_attempts enable trigger provider_upload_attempts_once;
alter table relay.task_runs enable trigger task_runs_once;
