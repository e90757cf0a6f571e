-- Probes: when each group's credentials were last looked at, and what a site says of consent where its conversions do not.
-- oldest program: 0.1.0

alter table relay.delivery_group
  add column probed_at timestamptz not null default '-infinity';
comment on column relay.delivery_group.probed_at is
  'When its credentials were last looked at without a conversion; also the fence of that look: what it found is written only '
  'while nobody has looked since.';

alter table relay.site
  add column default_ad_user_data text,
  add column default_ad_personalization text,
  add constraint site_default_ad_user_data check (default_ad_user_data in ('GRANTED', 'DENIED')),
  add constraint site_default_ad_personalization check (default_ad_personalization in ('GRANTED', 'DENIED'));
comment on column relay.site.default_ad_user_data is
  'What holds for a conversion that says nothing of this purpose. Null: nothing is sent, for nothing is known.';
comment on column relay.site.default_ad_personalization is 'As default_ad_user_data.';
