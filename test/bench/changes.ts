import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import pg from "pg";
import { ChangeService } from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { readCommandLine } from "../../src/command.ts";
import { openDatabase } from "../../src/store/database.ts";
import { startThrowawayServer } from "../support/throwaway-server.ts";
import { moveToCore, otherCore, residentMegabytes } from "./harness/machine.ts";
import type { Server } from "./harness/processes.ts";
import { openDeafWatchers } from "./load/deaf-watchers.ts";
import { mintServiceToken, startOurs } from "./setting.ts";

const usage = `Usage:
  npm run bench:changes -- [EDGES [SECONDS [RATE [WATCHERS]]]]

Measures how changes reach those who watch them: 10000000 edges in a snapshot,
20 seconds of 1000 changes a second, 1000 watchers unless said otherwise.
`;
const { positionals } = readCommandLine(usage, { allowPositionals: true, options: {} });
const [edges = 10_000_000, seconds = 20, rate = 1_000, watchers = 1_000] = positionals.map(Number);

/** Watchers whose delay is measured: the first and the last of all, and some between them. */
const measured = 5;
const writers = 8;
/** Runs no triggers. */
const unlogged = "set session_replication_role = replica";
const idSql = (n: string) => `md5('user' || (${n}))::uuid`;
const say = (text: string) => process.stdout.write(`${text}\n`);

const folder = mkdtempSync(join(tmpdir(), "privacy-control-changes-"));
const database = await startThrowawayServer();
const store = await openDatabase({ url: database.url });
await store.migrate();
await store.close();
const server = await startOurs(database.url, join(folder, "log"));
const url = `http://127.0.0.1:${server.ports.grpc}`;
const token = await mintServiceToken();
const headers = { authorization: `Bearer ${token}` };

try {
  await moveToCore(process.pid, otherCore);
  await load(edges);
  await measureSnapshot(server);
  await measureDelay(server, 1);
  await measureDelay(server, watchers);
} finally {
  await server.stop();
  await database.stop();
  rmSync(folder, { recursive: true, force: true });
}

/** Stores follows between users, unlogged. */
async function load(count: number): Promise<void> {
  const client = new pg.Client(database.url);
  await client.connect();
  await client.query(unlogged);
  const users = Math.max(1_000, Math.ceil(count / 100));
  await client.query(`insert into users (id, user_name, first_name, last_name, profile_picture_urls, is_verified)
    select ${idSql("n")}, 'user' || n, '', '', '{}', false from generate_series(0, ${users - 1}) n`);
  await client.query(`insert into follows (follower_id, followee_id, created_at)
    select ${idSql(`n / 100`)}, ${idSql(`(n / 100 + 1 + n % 100) % ${users}`)}, now()
    from generate_series(0, ${count - 1}) n on conflict do nothing`);
  await client.query("vacuum analyze");
  await client.end();
}

async function measureSnapshot(ours: Server): Promise<void> {
  const client = createClient(ChangeService, createGrpcTransport({ baseUrl: url }));
  const before = residentMegabytes(ours.pid);
  let most = before;
  let changes = 0;
  const cpu = ours.cpuSeconds();
  const startedAt = performance.now();
  const sampling = setInterval(() => {
    most = Math.max(most, residentMegabytes(ours.pid));
  }, 50);
  const closing = new AbortController();
  const start = { case: "snapshot", value: true } as const;
  for await (const message of client.watchChanges({ start }, { headers, signal: closing.signal })) {
    changes += message.changes.length;
    if (message.complete) break;
  }
  closing.abort();
  clearInterval(sampling);
  const took = (performance.now() - startedAt) / 1_000;
  say(
    `snapshot of ${changes} rows: ${took.toFixed(1)} s, ${Math.round(changes / took)} a second, ` +
      `processor of the service ${(ours.cpuSeconds() - cpu).toFixed(1)} s, ` +
      `memory ${Math.round(before)} MB before, ${Math.round(most)} MB at most`,
  );
}

async function measureDelay(ours: Server, count: number): Promise<void> {
  const acknowledged = new Map<string, number>();
  const delays: number[] = [];
  const closing = new AbortController();
  const listen = async () => {
    const client = createClient(ChangeService, createGrpcTransport({ baseUrl: url }));
    const begun = Promise.withResolvers<void>();
    const stream = client.watchChanges({}, { headers, signal: closing.signal });
    const reading = (async () => {
      for await (const { changes } of stream) {
        begun.resolve();
        const now = performance.now();
        for (const { change } of changes) {
          if (change.case !== "follow" || !change.value.present) continue;
          const at = acknowledged.get(change.value.targetId);
          // A change may arrive before its acknowledgement.
          delays.push(at === undefined ? 0 : now - at);
        }
      }
    })().catch(() => {});
    await begun.promise;
    return { reading };
  };
  const readings: Promise<void>[] = [];
  const closers: (() => void)[] = [];
  const listeners = Math.min(measured, count);
  for (let i = 0; i < listeners; i++) {
    readings.push((await listen()).reading);
    const others = Math.floor((count - listeners) / listeners);
    if (others > 0) closers.push(await openDeafWatchers(url, others, token));
  }
  const cpu = ours.cpuSeconds();
  const startedAt = performance.now();
  const made = await writeChanges(acknowledged);
  const elapsed = (performance.now() - startedAt) / 1_000;
  const used = ours.cpuSeconds() - cpu;
  await pause(1_000);
  closing.abort();
  for (const close of closers) close();
  await Promise.all(readings);
  delays.sort((a, b) => a - b);
  const quantile = (part: number) => Math.round(delays[Math.floor(part * (delays.length - 1))] ?? Number.NaN);
  say(
    `${count} watchers, ${Math.round(made / elapsed)} changes a second: delay p50 ${quantile(0.5)} ms, ` +
      `p99 ${quantile(0.99)} ms; processor of the service ${Math.round((100 * used) / elapsed)}%; ` +
      `${delays.length} of ${made * listeners} seen`,
  );
}

/** Makes changes at an even rate, each in a transaction of its own. Returns how many. */
async function writeChanges(acknowledged: Map<string, number>): Promise<number> {
  const pool = new pg.Pool({ connectionString: database.url, max: writers });
  const { rows } = await pool.query(`select ${idSql("0")} as owner`);
  const [{ owner }] = rows;
  const total = seconds * rate;
  const targets = Array.from({ length: total }, () => crypto.randomUUID());
  const loader = new pg.Client(database.url);
  await loader.connect();
  await loader.query(unlogged);
  await loader.query(
    `insert into users (id, user_name, first_name, last_name, profile_picture_urls, is_verified)
     select id, 'target', '', '', '{}', false from unnest($1::uuid[]) id`,
    [targets],
  );
  await loader.end();
  const startedAt = performance.now();
  let next = 0;
  const write = async () => {
    while (next < total) {
      const index = next++;
      const due = startedAt + (index * 1_000) / rate;
      if (due > performance.now()) await pause(due - performance.now());
      const target = targets[index] ?? "";
      await pool.query({
        name: "follow",
        text: "insert into follows (follower_id, followee_id, created_at) values ($1, $2, now())",
        values: [owner, target],
      });
      acknowledged.set(target, performance.now());
    }
  };
  await Promise.all(Array.from({ length: writers }, write));
  await pool.end();
  return total;
}
