// pg-boss at its fastest: fetch and complete in batches, no handler.
import { PgBoss } from 'pg-boss';
import { connectionString, inBatches, measured, rows, shape } from './worker.mjs';

const FETCH = 2000;
const boss = new PgBoss({ connectionString, supervise: false, schedule: false });
boss.on('error', (error) => { console.error(error); process.exit(1); });
await boss.start();
await boss.createQueue('deliver');
const add = (payloads) => boss.insert('deliver', payloads.map((data) => ({ data })));

if (shape === 'enqueue') {
  await measured(async () => { await inBatches(add); return rows; });
} else {
  await inBatches(add);
  await boss.getDb().executeSql('analyze');
  await measured(async () => {
    let count = 0;
    for (;;) {
      const jobs = await boss.fetch('deliver', { batchSize: FETCH });
      if (jobs.length === 0) return count;
      await boss.complete('deliver', jobs.map((job) => job.id));
      count += jobs.length;
    }
  });
}
