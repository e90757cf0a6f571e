-- The taxonomy: what an operator says a code means, and the codes that nobody knows.
-- oldest program: 0.1.0

create table relay.taxonomy_override (
  provider_key text collate "C" not null,
  code text collate "C" not null,
  class text collate "C" not null,
  scope text collate "C",
  wait_seconds integer,
  max_attempts smallint,
  reason text not null,
  created_at timestamptz not null,
  constraint taxonomy_override_pkey primary key (provider_key, code),
  constraint taxonomy_override_class
    check (class in ('OK', 'PERM', 'CONFIG', 'DELAY', 'TRANSIENT', 'SPLIT', 'UNMATCHED', 'AMBIGUOUS')),
  constraint taxonomy_override_scope check (
    case
      when scope is null then class <> 'CONFIG'
      else scope in ('row', 'conversion_action', 'site', 'client', 'provider') and class in ('CONFIG', 'DELAY')
    end
  ),
  constraint taxonomy_override_wait check (
    wait_seconds is null or wait_seconds between 1 and 2592000 and class in ('DELAY', 'TRANSIENT', 'UNMATCHED')
  ),
  constraint taxonomy_override_attempts check (
    max_attempts is null or max_attempts between 1 and 5 and class in ('TRANSIENT', 'UNMATCHED')
  ),
  constraint taxonomy_override_reason check (reason <> '')
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50);
comment on table relay.taxonomy_override is
  'What an operator says a provider''s code means, in the place of the adapter''s own table. code: the whole of it, as '
  'outcomes keep it. Runs read it once, when they begin.';

create table relay.unknown_code (
  provider_key text collate "C" not null,
  code text collate "C" not null,
  first_seen_at timestamptz not null,
  last_seen_at timestamptz not null,
  times bigint not null,
  constraint unknown_code_pkey primary key (provider_key, code)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50);
comment on table relay.unknown_code is
  'Codes that came from a provider and that no table knows: at most 1000 for each provider. times: answers that carried it.';
