import pg from "pg";
import { readCommandLine } from "../../src/command.ts";
import type { Tick } from "../../src/store/change-log.ts";
import { type Database, openDatabase } from "../../src/store/database.ts";
import { startThrowawayServer } from "../support/throwaway-server.ts";

const usage = `Usage:
  npm run bench:changes-read

Measures what reading the change log takes: a poll while a transaction of a
million rows runs, pages of that transaction, and of ten thousand small ones.
`;

readCommandLine(usage, {});

const giantRows = 1_000_000;
const smallTransactions = 10_000;
const pageRows = 1_000;
const repetitions = 15;

const insert = (rows: number) => `insert into changes (kind, owner, target, present)
  select 'block', gen_random_uuid(), gen_random_uuid(), true from generate_series(1, ${rows})`;

await using parts = new AsyncDisposableStack();
const server = await startThrowawayServer();
parts.defer(() => server.stop());
const database = await openDatabase({ url: server.url });
parts.defer(() => database.close());
await database.migrate();
const client = new pg.Client(server.url);
await client.connect();
parts.defer(() => client.end());

const measured: Record<string, { ms: string }> = {};

/** Measures the median time of an operation. */
async function measure(name: string, run: () => Promise<unknown>, times = repetitions): Promise<void> {
  const durations: number[] = [];
  for (let n = 0; n < times; n++) {
    const startedAt = performance.now();
    await run();
    durations.push(performance.now() - startedAt);
  }
  const median = durations.sort((a, b) => a - b)[times >> 1] ?? Number.NaN;
  measured[name] = { ms: median.toFixed(2) };
}

async function tick({ changes }: Database): Promise<Tick> {
  const stored = await changes.tick({ force: true });
  if (stored === undefined) throw new Error("a forced tick was not stored");
  return stored;
}

const first = await tick(database);
await client.query(`begin; ${insert(giantRows)}`);
const poll = async () => {
  await database.changes.tick();
  await database.changes.ticksAfter(first, pageRows);
};
await poll();
await measure("a poll while a transaction of a million rows runs", poll);
await client.query("commit");
const second = await tick(database);
await client.query("vacuum analyze changes");
const { changes } = database;
await measure("the first page of a transaction of a million rows", () =>
  changes.read(first, second, 0n, pageRows),
);
const half = BigInt(giantRows / 2);
await measure("a later page of it", () => changes.read(first, second, half, pageRows));

await client.query("set synchronous_commit = off");
await client.query(`do $$ begin
  for n in 1..${smallTransactions} loop ${insert(2)}; commit; end loop;
end $$`);
const third = await tick(database);
await client.query("analyze changes");
await measure(`the first page of ${smallTransactions} transactions`, () =>
  changes.read(second, third, 0n, pageRows),
);
await measure("a later page of them", () =>
  changes.read(second, third, BigInt(giantRows + smallTransactions), pageRows),
);
await measure("a poll without news", poll);

await client.query(`
  with crowd as (
    insert into users select gen_random_uuid(), 'u', '', '', '{}', false from generate_series(1, 1000) returning id
  )
  insert into follows select a.id, b.id, now() from crowd a, crowd b where a.id <> b.id and a.id < b.id`);
await client.query("analyze");
await measure("a page of the state: 5,000 follows", () => changes.readState({ table: 5, key: [] }, 5_000));

await client.query("insert into erasures select id, 1000000000 from users limit 100");
const { changeLogUpkeep } = database;
const scrub = async () => {
  while (await changeLogUpkeep.scrubErased());
};
await measure("the scrubbing of a hundred users from it all", scrub, 1);
await tick(database);
await client.query("update ticks set at = at - interval '100 hours'");
const retain = async () => {
  while (await changeLogUpkeep.retain(72));
};
await measure("the deletion of it all", retain, 1);
console.table(measured);
