// Graphile Worker, tuned as its own documentation says for throughput.
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import pg from 'pg';
import { connectionString, inBatches, measured, rows, shape } from './worker.mjs';

// It logs a line per job otherwise.
const logger = new Logger(() => () => {});
const preset = {
  worker: {
    connectionString,
    concurrentJobs: 24,
    maxPoolSize: 26,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
    pollInterval: 100,
  },
};
const utils = await makeWorkerUtils({ connectionString, logger });
await utils.migrate();
const add = (payloads) => utils.addJobs(payloads.map((payload) => ({ identifier: 'deliver', payload })));
const pool = new pg.Pool({ connectionString, max: 10 });

async function drain(handler) {
  let count = 0;
  let finish;
  const finished = new Promise((resolve) => { finish = resolve; });
  const deliver = async (payload) => {
    await handler(payload);
    count += 1;
    if (count === rows) finish();
  };
  const runner = await run({ preset, logger, noHandleSignals: true, taskList: { deliver }, crontab: '' });
  await finished;
  await runner.stop();
  return count;
}

async function persist(payload) {
  await pool.query("update conv set status = 'delivered', updated_at = now() where external_id = $1", [payload.external_id]);
  await pool.query("insert into ledger (external_id, outcome) values ($1, 'delivered')", [payload.external_id]);
}

if (shape === 'enqueue') {
  await measured(async () => { await inBatches(add); return rows; });
} else {
  await inBatches(add);
  if (shape === 'persist') {
    await pool.query(`
      create table conv (external_id text primary key, payload jsonb not null, status text not null default 'queued', updated_at timestamptz);
      create index on conv (updated_at) where status = 'queued';
      create table ledger (ledger_id bigint generated always as identity primary key, external_id text not null, outcome text not null, at timestamptz not null default now())`);
    await inBatches((payloads) => pool.query(
      "insert into conv (external_id, payload) select one ->> 'external_id', one from jsonb_array_elements($1::jsonb) as one",
      [JSON.stringify(payloads)],
    ));
  }
  await pool.query('analyze');
  await measured(() => drain(shape === 'persist' ? persist : async () => {}));
}
