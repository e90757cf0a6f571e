-- Everything delivered: $1 the claim, $2 how many, $3 the time where it is not the server's.
select accepted from relay.settle_offline_conversions(
  $1, null, array_fill('DELIVERED'::text, array[$2::integer]), array_fill('OK'::text, array[$2::integer]), array_fill(null::text, array[$2::integer]),
  array_fill(0, array[$2::integer]), array_fill(null::timestamptz, array[$2::integer]), array_fill(null::text, array[$2::integer]),
  array_fill(null::text, array[$2::integer]), 'success', null, null, null, null, null, null, null, null, null, false, $3
);
