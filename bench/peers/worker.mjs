// How a peer speaks with the benchmark: a line when it is ready, work after a line of ours, a line with what it did.
import readline from 'node:readline';

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export const [shape, connectionString, rowsText, batchText] = process.argv.slice(2);
export const rows = Number(rowsText);
export const batch = Number(batchText ?? 2000);

export function payload(number) {
  return {
    external_id: `sale-${number}`,
    kind: 'conversion',
    occurred_at: '2026-11-20T10:00:00Z',
    value: '12.50',
    currency: 'EUR',
    click_ids: { gclid: `Cj0KCQiA-bench-click-id-of-the-usual-length-of-about-ninety-characters-${String(number).padStart(9, '0')}-wcB` },
    user: { hashed_email: '973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b' },
  };
}

export async function inBatches(work) {
  for (let from = 0; from < rows; from += batch) {
    await work(Array.from({ length: Math.min(batch, rows - from) }, (_, index) => payload(from + index)));
  }
}

export async function measured(work) {
  console.log(JSON.stringify({ ready: true }));
  await lines.next();
  const started = process.hrtime.bigint();
  const done = await work();
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  console.log(JSON.stringify({ rows: done, seconds }));
  await lines.next();
  process.exit(0);
}
