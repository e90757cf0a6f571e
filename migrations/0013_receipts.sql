-- Receipts that count many: conversions that stay behind while others of their request go again, and tell of them; and one
-- name for each conversion action.
-- oldest program: 0.1.0

alter table relay.receipt add column part bigint;
comment on column relay.receipt.part is
  'The part that its conversions went as, where they went as one: its receipt speaks for them alone. Null: none.';

create table relay.receipt_rest (
  part bigint not null,
  group_id integer not null,
  sent bigint[] not null,
  conversion_ids bigint[] not null,
  left_part bigint not null,
  worlds jsonb not null,
  kept_at timestamptz not null,
  constraint receipt_rest_pkey primary key (part)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
comment on table relay.receipt_rest is
  'Conversions that stayed behind. sent go again as part; what their receipt tells is also what became of conversion_ids, which '
  'wait in relay.ready under left_part meanwhile and go by themselves where nobody comes for them. worlds: what may have become '
  'of all of them, sent first, one array for each way in which it may have been. A row that nobody comes for is deleted after 8 days.';
create index receipt_rest_kept on relay.receipt_rest (kept_at);

alter table relay.delivery_group add column conversion_action text collate "C";
comment on column relay.delivery_group.conversion_action is
  'Where its conversions go that name no conversion action, as its adapter writes it: by it the door knows one action by '
  'several names. Null for credentials that were stored before it was kept.';

create table relay.order_walk (
  singleton boolean not null default true,
  head bigint not null default -1,
  constraint order_walk_pkey primary key (singleton),
  constraint order_walk_singleton check (singleton)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50);
comment on table relay.order_walk is
  'How far the walk through relay.blocked has come that looks for heads that are over though nobody said so.';
insert into relay.order_walk default values;

alter table relay.hold add column freeing boolean not null default false;
comment on column relay.hold.freeing is
  'It was lifted, and what it parked is sent to work again in steps; false as soon as nothing is left of it.';
create index hold_freeing on relay.hold (hold_id) where freeing;

alter table relay.taxonomy_override add column whole boolean not null default false;
comment on column relay.taxonomy_override.whole is
  'Nothing is left out of the conversion for this code. Else the part that the adapter''s own rule leaves out goes first.';
