-- The yardstick: every group's first row, then every group's second. Fair, and it reads the whole backlog.
with turns as (
  select
    ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id,
    row_number() over (partition by ready.group_id order by ready.band, ready.next_attempt_at, ready.conversion_id) as turn
  from relay.ready
  where ready.next_attempt_at <= now()
), first as materialized (
  select turns.* from turns order by turns.turn, turns.next_attempt_at limit 1000
)
select ready.conversion_id
from first
join relay.ready using (group_id, band, next_attempt_at, conversion_id)
for update of ready skip locked;
