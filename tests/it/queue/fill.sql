-- {rows} conversions that are due, of {groups} groups whose sizes fall as one over their rank, at least one each; a
-- tenth of them expires soon. Their ids are of a time that lies {after} after now, which may be of the week before.
select relay.keep_partitions(0, now() + interval '{after}');
create temporary table made as
with site as (
  insert into relay.site (site_id, created_at, updated_at)
  select gen_random_uuid(), now(), now() from generate_series(1, {groups})
  returning site_id
)
select site_id, row_number() over () as rank from site;

insert into relay.quota (quota_key) select 'key-' || number from generate_series(0, 19) as number on conflict do nothing;
insert into relay.upload_slot (quota_key, slot_no)
select quota_key, slot_no from relay.quota cross join generate_series(1, quota.slots) as slot_no on conflict do nothing;
insert into relay.delivery_group (site_id, provider_key, quota_key, created_at, turn_at)
select site_id, 'google_ads', 'key-' || rank % 20, now(), now() - random() * interval '50 minutes' from made;
insert into relay.provider_health_state (group_id, site_id, provider_key)
select group_id, site_id, provider_key from relay.delivery_group join made using (site_id);
insert into relay.provider_upload_metrics (group_id, site_id, provider_key)
select group_id, site_id, provider_key from relay.delivery_group join made using (site_id);

with weight as (
  select group_id, rank, 1.0 / rank as weight from relay.delivery_group join made using (site_id)
), size as (
  select group_id, greatest(1, floor({rows} * weight / (select sum(weight) from weight)))::integer as size from weight
)
insert into relay.conversion (conversion_id, group_id, external_id, kind, due_at, expires_at, created_at, payload)
select
  relay.id_floor(now() + interval '{after}') + row_number() over (), group_id, 'sale-' || relay.id_floor(now() + interval '{after}') + row_number() over (), '{after}',
  now() - number * interval '1 millisecond',
  now() + case when number % 10 = 0 then interval '1 day' else interval '30 days' end, now(), '{}'
from size
cross join lateral generate_series(1, size) as number;
insert into relay.conversion_key (external_id, group_id, conversion_id, digest)
select 'sale-' || conversion_id, group_id, conversion_id, '\x00'
from relay.conversion
where kind = '{after}';
insert into relay.ready (group_id, band, next_attempt_at, conversion_id, expires_at, seq)
select group_id, case when expires_at < now() + interval '2 days' then 0 else 1 end, due_at, conversion_id, expires_at, 0
from relay.conversion
where kind = '{after}';
drop table made;
