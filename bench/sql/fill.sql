-- Groups of zipf sizes with rows that are due, as if they had been enqueued and never delivered.
-- {rows} and {groups} are put in; ids are of an hour ago, so that they never meet new ones.
select relay.keep_partitions(1, clock_timestamp() - interval '1 hour');

insert into relay.vault_key (key_version, source, wrapped, created_at) values (1, 'local', '\x00', now());
insert into relay.quota (quota_key) select 'key-' || number from generate_series(0, {quota_keys} - 1) as number;
insert into relay.upload_slot (quota_key, slot_no)
select quota.quota_key, slot_no from relay.quota cross join generate_series(1, quota.slots) as slot_no;
insert into relay.site (site_id, created_at, updated_at) select gen_random_uuid(), now(), now() from generate_series(1, {groups});
insert into relay.line (provider_key) values ('google_ads');
insert into relay.provider_circuit (provider_key) values ('google_ads');
insert into relay.delivery_group (site_id, provider_key, quota_key, created_at)
select site.site_id, 'google_ads', 'key-' || row_number() over () % {quota_keys}, now() from relay.site;
insert into relay.provider_health_state (group_id, site_id, provider_key)
select group_id, site_id, provider_key from relay.delivery_group;
insert into relay.provider_upload_metrics (group_id, site_id, provider_key)
select group_id, site_id, provider_key from relay.delivery_group;
insert into relay.provider_credentials (group_id, key_version, sealed, created_at, updated_at)
select group_id, 1, '\x00', now(), now() from relay.delivery_group;

-- Each group's share is one over its rank, at least one row; what is left goes to the largest.
create temporary table share as
with weight as (
  select group_id, 1.0 / row_number() over (order by group_id) as weight from relay.delivery_group
), sized as (
  select group_id, greatest(1, floor({rows} * weight / sum(weight) over ()))::bigint as size from weight
)
select group_id, size + case when group_id = min(group_id) over () then {rows} - sum(size) over () else 0 end as size
from sized;

create temporary table row_to_be as
select
  relay.id_floor(now() - interval '1 hour') + row_number() over (order by random()) as conversion_id,
  share.group_id
from share
cross join lateral generate_series(1, share.size);

insert into relay.conversion (conversion_id, group_id, external_id, kind, due_at, expires_at, created_at, payload)
select
  conversion_id, group_id, 'sale-' || conversion_id, 'conversion',
  -- In the order of arrival, as at the door.
  now() - interval '1 hour' + (conversion_id - relay.id_floor(now() - interval '1 hour'))::float8 / {rows} * interval '50 minutes',
  now() + interval '30 days', now() - interval '1 hour',
  jsonb_build_object(
    'external_id', 'sale-' || conversion_id, 'kind', 'conversion', 'occurred_at', '2026-11-20T10:00:00Z', 'value', '12.50',
    'currency', 'EUR',
    'click_ids', jsonb_build_object('gclid', 'Cj0KCQiA-bench-click-id-of-the-usual-length-of-about-ninety-characters-' || conversion_id),
    'user', jsonb_build_object('hashed_email', '973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b')
  )
from row_to_be
order by conversion_id;
insert into relay.conversion_key (external_id, group_id, conversion_id, digest)
select external_id, group_id, conversion_id, '\x00000000000000000000000000000000' from relay.conversion;
insert into relay.ready (group_id, band, next_attempt_at, conversion_id, expires_at, seq)
select group_id, 1, due_at, conversion_id, expires_at, 0 from relay.conversion;

update relay.delivery_group set turn_at = now() - random() * interval '50 minutes';
drop table share, row_to_be;
