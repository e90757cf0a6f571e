create or replace function relay.new_id(
  p_at timestamptz
)
returns bigint
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select relay.id_floor(p_at) | pg_catalog.nextval('relay.id_seq');
$$;

comment on function relay.new_id is
  'A new time-ordered id. Two could only meet after 4,194,304 others in one second, and then the primary key refuses.';
