create or replace function relay.read_line_floor(
  p_provider_key text,
  p_now timestamptz
)
returns timestamptz
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  c_lag constant interval := interval '30 seconds';
  c_believed constant interval := interval '5 minutes';
  v_line relay.line;
  v_floor_at timestamptz;
begin
  select line.* from relay.line where line.provider_key = p_provider_key into v_line;
  v_floor_at := case when v_line.floor_until > p_now then v_line.floor_at else '-infinity' end;
  if v_line.looked_at > p_now - c_lag then
    return v_floor_at;
  end if;

  -- One looks for all; whoever finds it being done leaves it.
  select line.* from relay.line where line.provider_key = p_provider_key for no key update skip locked into v_line;
  if v_line.provider_key is null then
    return v_floor_at;
  end if;
  update relay.line
  set
    floor_at = least(
      (
        select delivery_group.turn_at
        from relay.delivery_group
        where delivery_group.provider_key = p_provider_key
          and delivery_group.turn_at < 'infinity'
          and delivery_group.turn_at >= v_floor_at
        order by delivery_group.provider_key, delivery_group.turn_at, delivery_group.group_id
        limit 1
      ),
      p_now - c_lag
    ),
    floor_until = case when v_line.floor_until > p_now then v_line.floor_until else p_now + c_believed end,
    looked_at = p_now
  where line.provider_key = p_provider_key;
  return v_floor_at;
end;
$$;

comment on function relay.read_line_floor is
  'Where the walk along a provider''s line begins: no group stands before it. Below lie the index entries of earlier turns, '
  'which nothing can remove while somebody holds an old snapshot. It stays 30 s behind the clock, because a group is put into '
  'the line no earlier than its transaction began, and is looked for without itself every 5 minutes. Called by functions.';
