create or replace function relay.partition_name(
  p_parent text,
  p_at timestamptz
)
returns text
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select p_parent || pg_catalog.to_char(p_at at time zone 'UTC', '_IYYY"w"IW');
$$;

comment on function relay.partition_name is 'The partition that holds a moment, by the ISO week in UTC: conversion_2026w53.';
