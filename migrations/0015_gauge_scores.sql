-- The delivery score beside the other figures of a provider and of a group.
-- oldest program: 0.1.0

alter table relay.gauge add column score numeric(4, 1);
comment on column relay.gauge.score is
  'As relay.recompute_scores left it for the group; of a provider, 100 * delivered / (delivered + failed) over its groups. Null '
  'where too little is known.';
