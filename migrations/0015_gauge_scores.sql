-- The delivery score beside the other figures of a provider and of a group.
-- oldest program: 0.1.0

alter table relay.gauge add column score numeric(4, 1);
comment on column relay.gauge.score is
  'As relay.recompute_scores left it for the group; of a provider, 100 * delivered / (delivered + failed) over its groups. Null '
  'where too little is known.';

-- Its row has the score, too, and is otherwise what it was: who calls it by its columns' names finds them all. A new return
-- row needs the old function gone; the functions' lane puts it back at once.
drop function if exists relay.read_gauges(integer, timestamptz);
