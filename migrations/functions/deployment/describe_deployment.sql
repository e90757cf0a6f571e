create or replace function relay.describe_deployment()
returns table (environment text, newest_migration text, oldest_program text, database_time timestamptz)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    (select deployment.environment from relay.deployment),
    (select pg_catalog.max(schema_migration.name) from relay.schema_migration where schema_migration.name ~ '^[0-9]'),
    (
      select schema_migration.oldest_program
      from relay.schema_migration
      where schema_migration.oldest_program is not null
      order by schema_migration.name desc
      limit 1
    ),
    pg_catalog.clock_timestamp();
$$;

comment on function relay.describe_deployment is
  'What this database is: its environment, its newest migration, and the oldest program that it still serves. One row.';

grant execute on function relay.describe_deployment to relay_service, relay_operator;
