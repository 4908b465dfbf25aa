import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { promisify } from "node:util";
import { specialUsers, userId } from "./data/users.ts";
import { startDatabase } from "./harness/database.ts";
import { moveToCore, onCore, otherCore, serverCore } from "./harness/machine.ts";
import { startServer } from "./harness/processes.ts";
import { type Finding, findingLine } from "./harness/results.ts";
import type { Quartiles } from "./harness/statistics.ts";
import { startBlocks } from "./harness/steady-blocks.ts";
import type { DelayJob, Delays, ReplicaLoaded } from "./load/replica-delay.ts";
import { beginBenchmark } from "./options.ts";
import type { ReplicaFigures } from "./replica-figures.ts";
import { mintServiceToken, startOurs } from "./setting.ts";

const edges = { full: 10_000_000, small: 100_000 };
const batches = 3_000;
const changesPerSecond = 1_000;
/** Of the changes, those that go through the service and are looked for. */
const watchedPerSecond = 50;
const delaySeconds = 20;
const candidates = 1_000;

const { options, folder, say } = beginBenchmark(
  "bench:replica",
  "Measures the replica of the client package, with ten million edges in 4 minutes.",
  ["--size", "full"],
);
await moveToCore(process.pid, otherCore);

/** Starts a replica's process, which sends messages. */
function startReplica(core: number, script: string, ...args: string[]): ChildProcess {
  const [program, commandLine] = onCore(core, [process.execPath, "--expose-gc", script, ...args]);
  return spawn(program, commandLine, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
}

async function messageOf<Message>(child: ChildProcess): Promise<Message> {
  const ended = new AbortController();
  const [message] = await Promise.race([
    once(child, "message", { signal: ended.signal }),
    once(child, "exit", { signal: ended.signal }).then(([code]) => {
      throw new Error(`a replica's process ended with ${code}`);
    }),
  ]);
  ended.abort();
  return message;
}

/** What a replica alone in its process does with drawn edges, which a server without a database sends. */
async function measureChecks(count: number): Promise<Finding[]> {
  const script = "test/bench/load/snapshot-service.ts";
  const server = await startServer(script, [String(count)], join(folder, "snapshot.log"));
  try {
    await moveToCore(server.pid, otherCore);
    say(`a snapshot of ${count.toLocaleString("en")} edges`);
    const url = `http://127.0.0.1:${server.ports.grpc}`;
    const child = startReplica(serverCore, "test/bench/replica-figures.ts", url, `${count}`, `${batches}`);
    const found = await messageOf<ReplicaFigures>(child);
    const edgesOf = `with ${count.toLocaleString("en")} edges`;
    const rate = (what: string, { upper }: Quartiles, atLeast?: number): Finding => ({
      what: `${what}, ${edgesOf}, by three quarters of the batches`,
      value: 1e6 / upper,
      unit: "/s",
      ...(atLeast !== undefined && { goal: { atLeast } }),
    });
    return [
      rate("check of random pairs", found.cold, 1e6),
      rate("check of active viewers and popular owners", found.mixed, 1e6),
      rate("check of a hundred users", found.warm, 1e6),
      rate(`filter of ${candidates.toLocaleString("en")}`, found.filter, 1_500),
      {
        what: `the copy ${edgesOf}`,
        value: found.graphBytesOfEdge,
        unit: "bytes an edge",
        goal: { atMost: 24 },
      },
      { what: "growth of the whole process", value: found.residentBytesOfEdge, unit: "bytes an edge" },
      { what: "the whole process", value: found.residentMegabytes, unit: "MB" },
      { what: "load, with all decoding", value: count / found.loadSeconds, unit: "edges/s" },
      { what: "processor time of a change while loading", value: found.loadCpuMicrosOfChange, unit: "µs" },
    ];
  } finally {
    await server.stop();
  }
}

/** How long a replica of a running service takes to load, and to deny after a block. */
async function measureDelay(): Promise<Finding[]> {
  await using database = await startDatabase(options.size, (what) => say(`data: ${what}`));
  const server = await startOurs(database.url, join(folder, "ours.log"));
  await using _stop = { [Symbol.asyncDispose]: () => server.stop() };
  const url = `http://127.0.0.1:${server.ports.grpc}`;
  const token = await mintServiceToken();
  say("a snapshot of the service");
  const child = startReplica(otherCore, "test/bench/load/replica-delay.ts", url, token);
  const loaded = await messageOf<ReplicaLoaded>(child);
  say(`${changesPerSecond.toLocaleString("en")} changes a second`);
  await using blocks = await startBlocks(database.url, options.size, changesPerSecond - watchedPerSecond);
  const { users } = options.size;
  const job: DelayJob = {
    actor: userId(specialUsers(options.size).viewers[0]),
    targets: Array.from({ length: delaySeconds * watchedPerSecond }, (_, n) => userId(users - 1 - n)),
    perSecond: watchedPerSecond,
  };
  const startedAt = performance.now();
  child.send(job);
  const delays = await messageOf<Delays>(child);
  const seconds = (performance.now() - startedAt) / 1_000;
  const at = (share: number) => delays[Math.floor(share * (delays.length - 1))] ?? Number.NaN;
  return [
    {
      what: `load of ${loaded.changes.toLocaleString("en")} rows from the service`,
      value: loaded.seconds,
      unit: "s",
    },
    { what: "rows from the service", value: loaded.changes / loaded.seconds, unit: "rows/s" },
    { what: "changes made", value: (blocks.made() + delays.length) / seconds, unit: "/s" },
    { what: "from an acknowledged block to the replica's DENY, p50", value: at(0.5), unit: "ms" },
    {
      what: `from an acknowledged block to the replica's DENY, p99 of ${delays.length.toLocaleString("en")}`,
      value: at(0.99),
      unit: "ms",
      goal: { atMost: 250 },
    },
  ];
}

/** The size of what `npm run build:client` packs. */
async function measurePackage(): Promise<Finding[]> {
  const run = promisify(execFile);
  await run(process.execPath, ["scripts/build-client.ts"], { maxBuffer: 2 ** 24 });
  const { stdout } = await run("npm", ["pack", "--dry-run", "--json", "./build/client"], {
    maxBuffer: 2 ** 24,
  });
  const [{ size, unpackedSize }] = JSON.parse(stdout);
  return [
    {
      what: "the package without dependencies, packed",
      value: size / 1_000,
      unit: "KB",
      goal: { atMost: 300 },
    },
    { what: "the same in node_modules", value: unpackedSize / 1_000, unit: "KB" },
  ];
}

const parts = [
  { id: "check", measure: () => measureChecks(edges[options.sizeName]) },
  { id: "delay", measure: measureDelay },
  { id: "package", measure: measurePackage },
].filter(({ id }) => id.includes(options.only));
const findings: Finding[] = [];
for (const { measure } of parts) findings.push(...(await measure()));
console.table(findings.map(findingLine));
