-- Upkeep: what an operator ends by hand, a person who is erased, a site that is removed, and a score per group.
-- oldest program: 0.1.0

alter table relay.site add column removed_at timestamptz;
comment on column relay.site.removed_at is
  'When the site was off-boarded: nothing is taken in for it, what came back from a claim since is cancelled. Null while it is '
  'served; credentials that are stored again bring it back.';
-- The door asks at each batch, and nearly always there is none.
create index site_removed on relay.site (site_id) where removed_at is not null;

create table relay.erasure (
  erasure_id bigint generated always as identity,
  requested_at timestamptz not null,
  finished_at timestamptz,
  hashes text[] collate "C" not null,
  click_hashes text[] collate "C" not null,
  order_group_ids integer[] not null default '{}',
  order_hashes uuid[] not null default '{}',
  id_to bigint not null,
  conversion_id bigint not null default 0,
  walked bigint not null default 0,
  conversions bigint not null default 0,
  keys bigint not null default 0,
  ready bigint not null default 0,
  held bigint not null default 0,
  blocked bigint not null default 0,
  in_flight bigint not null default 0,
  submitted bigint not null default 0,
  constraint erasure_pkey primary key (erasure_id),
  constraint erasure_forgets check (finished_at is null or (hashes, click_hashes, order_hashes) = ('{}', '{}', '{}'))
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50);
comment on table relay.erasure is
  'People to be erased: their identifiers as conversions keep them (hashes), the SHA-256 of their click ids (click_hashes), '
  'nothing in the clear, and none of it once finished_at is set. The walk through the conversions before id_to has come to '
  'conversion_id; order_hashes: the orders that were found on it, whose later writes are the same person''s. The rest are '
  'counts of what was found in each table.';
create index erasure_open on relay.erasure (erasure_id) where finished_at is null;

-- Scores.

-- History is written in the order of time, so this index of a few pages finds a day in it and costs an insert nothing.
create index conversion_outcome_recorded on relay.conversion_outcome using brin (recorded_at) with (pages_per_range = 32);
create index receipt_settled on relay.receipt (settled_at) where state = 'SETTLED';

create table relay.delivery_day (
  day date not null,
  group_id integer not null,
  delivered bigint not null,
  failed bigint not null,
  neutral bigint not null,
  requests bigint not null,
  requests_failed bigint not null,
  constraint delivery_day_pkey primary key (day, group_id)
) with (
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100000,
  autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000
);
comment on table relay.delivery_day is
  'What came to an end on one day (UTC), by group: conversions delivered, failed and neither, and the requests that left. A dead '
  'letter that was sent again that day is taken off failed, which may thereby be negative. Written once, when the day is over.';

create table relay.scored_day (
  day date not null,
  tallied_at timestamptz not null,
  constraint scored_day_pkey primary key (day)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50);
comment on table relay.scored_day is 'The days that stand in relay.delivery_day, those on which nothing ended included.';

create table relay.delivery_score (
  group_id integer not null,
  site_id uuid not null,
  provider_key text collate "C" not null,
  score numeric(4, 1),
  delivered bigint not null,
  failed bigint not null,
  neutral bigint not null,
  requests bigint not null,
  requests_failed bigint not null,
  window_days integer not null,
  until_day date not null,
  computed_at timestamptz not null,
  constraint delivery_score_pkey primary key (group_id)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
comment on table relay.delivery_score is
  'How well each group was delivered in the window_days before and including until_day: score = 100 * delivered / (delivered + '
  'failed) with one decimal, 0 to 100; null where fewer than 20 ended one way or the other, which says too little. neutral '
  '(duplicates, unmatched, superseded, consent denied, cancelled) speaks neither for nor against. failed: rejected, expired, '
  'exhausted, unconfirmed. requests, requests_failed: requests to the provider, and those that had no answer or failed as a '
  'whole; they say why and do not count.';
grant select on relay.delivery_score, relay.delivery_day to relay_operator;
