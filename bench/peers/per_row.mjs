// What most people write first: claim 50, then an UPDATE and an INSERT per row, over a pool of ten connections.
import pg from 'pg';
import { connectionString, inBatches, measured } from './worker.mjs';

const pool = new pg.Pool({ connectionString, max: 10 });
await pool.query(`
  create table conv (
    id bigint generated always as identity primary key, external_id text not null unique, payload jsonb not null,
    status text not null default 'queued', created_at timestamptz not null default now(), updated_at timestamptz
  );
  create index on conv (created_at) where status = 'queued';
  create table ledger (ledger_id bigint generated always as identity primary key, conv_id bigint not null, outcome text not null, at timestamptz not null default now())`);
await inBatches((payloads) => pool.query(
  "insert into conv (external_id, payload) select one ->> 'external_id', one from jsonb_array_elements($1::jsonb) as one",
  [JSON.stringify(payloads)],
));
await pool.query('analyze');

async function settle(id) {
  await pool.query("update conv set status = 'delivered', updated_at = now() where id = $1", [id]);
  await pool.query("insert into ledger (conv_id, outcome) values ($1, 'delivered')", [id]);
}

await measured(async () => {
  let count = 0;
  for (;;) {
    const claimed = await pool.query(`
      update conv set status = 'processing'
      where id in (select id from conv where status = 'queued' order by created_at limit 50 for update skip locked)
      returning id, payload`);
    if (claimed.rowCount === 0) return count;
    await Promise.all(claimed.rows.map((row) => settle(row.id)));
    count += claimed.rowCount;
  }
});
