import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { AccessService } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { checkCalls, mixedChecks } from "./data/questions.ts";
import { startDatabase } from "./harness/database.ts";
import { grpcLoad } from "./harness/loads.ts";
import { moveToCore, otherCore } from "./harness/machine.ts";
import type { Server } from "./harness/processes.ts";
import { goalText, isMet, quartiles } from "./harness/statistics.ts";
import { startBlocks } from "./harness/steady-blocks.ts";
import { packCalls } from "./load/exchanges.ts";
import { beginBenchmark } from "./options.ts";
import { mintServiceToken, startOurs } from "./setting.ts";

const counts = [1, 2, 4];
const blocksPerSecond = 200;
const maxStalenessSeconds = 2;
const mixedCount = 24_000;
/** No more than the lowest limit of calls in flight: an instance that waits for the core refuses others. */
const inFlight = { sessions: 4, streams: 4 };
const rampMs = 300;
/** What more instances may cost: a fifth. */
const goal = { atMost: 1.2 };

/** What some instances and the database used and did meanwhile: processor time in seconds. */
interface Usage {
  readonly seconds: number;
  readonly service: number;
  /** But for the blocks. */
  readonly database: number;
  readonly statements: number;
  readonly block: number;
}

/** Of a decision, of a statement and of a block in microseconds, of an instance at rest in milliseconds a second. */
interface Measured {
  readonly decisionsPerSecond: number;
  readonly service: number;
  readonly database: number;
  readonly statementsPerSecond: number;
  readonly statement: number;
  readonly serviceAtRest: number;
  readonly databaseAtRest: number;
  readonly block: number;
}

const { options, folder, say } = beginBenchmark(
  "bench:scale",
  "Measures decisions by 1, 2 and 4 instances on one core. Takes about 4 minutes.",
  ["--size", "small", "--rounds", "5"],
);
await moveToCore(process.pid, otherCore);
await using database = await startDatabase(options.size, (what) => say(`data: ${what}`));
const { url, client } = database;
const checks = await mixedChecks(client, options.size.users, mixedCount);
const token = await mintServiceToken();
const works = [
  { name: "fully consistent", isFull: true, callsFile: join(folder, "full"), calls: checkCalls(checks) },
  {
    name: `${maxStalenessSeconds} s of staleness`,
    isFull: false,
    callsFile: join(folder, "stale"),
    calls: checkCalls(checks, maxStalenessSeconds),
  },
].filter(({ name }) => name.includes(options.only));
for (const { callsFile, calls } of works) writeFileSync(callsFile, packCalls(calls));
await using blocks = await startBlocks(url, options.size, blocksPerSecond);

async function usageOf(instances: readonly Server[], run: () => Promise<unknown>): Promise<Usage> {
  const read = async () => ({
    at: performance.now(),
    service: instances.reduce((sum, instance) => sum + instance.cpuSeconds(), 0),
    database: database.cpuSeconds(),
    writers: blocks.cpuSeconds(),
    blocks: blocks.made(),
    statements: (await Promise.all(instances.map(statementsOf))).reduce((sum, count) => sum + count, 0),
  });
  const before = await read();
  await run();
  const after = await read();
  const used = (key: keyof typeof before) => after[key] - before[key];
  return {
    seconds: used("at") / 1_000,
    service: used("service"),
    database: used("database") - used("writers"),
    statements: used("statements"),
    block: used("writers") / used("blocks"),
  };
}

/** Puts the same load on each of some instances at once. Decisions a second, and how many there were in all. */
async function putLoad(instances: readonly Server[], callsFile: string, ms: number) {
  const results = await Promise.all(
    instances.map(({ ports }) =>
      grpcLoad({
        ...inFlight,
        url: `http://127.0.0.1:${ports.grpc}`,
        path: `/${AccessService.typeName}/CheckAccess`,
        headers: { authorization: `Bearer ${token}` },
        callsFile,
        once: false,
        rampMs,
        ms,
      }),
    ),
  );
  const wrong = results.find((result) => result.wrong > 0 || result.total === 0);
  if (wrong !== undefined) throw new Error(`${wrong.wrong} wrong answers, the first: ${wrong.example}`);
  for (const instance of instances) instance.checkLog();
  const sum = (key: "rate" | "total") => results.reduce((total, result) => total + result[key], 0);
  return { rate: sum("rate"), total: sum("total") };
}

/** Measures instances under load. What they use at rest, too, is not counted for the decisions. */
async function measure(instances: readonly Server[], callsFile: string): Promise<Measured> {
  const rest = await usageOf(instances, () => pause(options.ms));
  let decisions = { rate: 0, total: 0 };
  const load = await usageOf(instances, async () => {
    decisions = await putLoad(instances, callsFile, options.ms);
  });
  const atRest = (key: "service" | "database" | "statements") => rest[key] / rest.seconds;
  const more = (key: "service" | "database" | "statements") => load[key] - atRest(key) * load.seconds;
  return {
    decisionsPerSecond: decisions.rate,
    service: (more("service") * 1e6) / decisions.total,
    database: (more("database") * 1e6) / decisions.total,
    statementsPerSecond: load.statements / load.seconds,
    statement: (more("database") * 1e6) / more("statements"),
    serviceAtRest: (atRest("service") * 1e3) / instances.length,
    databaseAtRest: (atRest("database") * 1e3) / instances.length,
    block: load.block * 1e6,
  };
}

/** How many statements an instance has sent to keep its graph current. */
async function statementsOf({ ports }: Server): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${ports.admin}/metrics`)).text();
  return Number(/^privacy_control_graph_statements_total (\d+)$/m.exec(metrics)?.[1]);
}

const found = new Map<string, Measured[]>();
for (let round = 0; round < options.rounds; round++) {
  await using instances = new AsyncDisposableStack();
  const started: Server[] = [];
  for (const count of counts) {
    say(`round ${round + 1} of ${options.rounds}: instances: ${count}`);
    while (started.length < count) {
      const server = await startOurs(url, join(folder, `ours-${round}-${started.length}.log`));
      instances.defer(() => server.stop());
      started.push(server);
      for (const { callsFile } of works) await putLoad([server], callsFile, options.warmUpMs);
    }
    for (const { name, callsFile } of works) {
      const key = `${name}, ${count}`;
      found.set(key, [...(found.get(key) ?? []), await measure(started, callsFile)]);
    }
  }
}

const lines = works.flatMap(({ name, isFull }) =>
  counts.map((count) => {
    const [alone, here] = [found.get(`${name}, ${counts[0]}`) ?? [], found.get(`${name}, ${count}`) ?? []];
    const median = (key: keyof Measured) => quartiles(here.map((one) => one[key])).median;
    const ratio = (key: keyof Measured) =>
      quartiles(here.map((one, round) => one[key] / (alone[round]?.[key] ?? Number.NaN)));
    const compared = (key: keyof Measured) => {
      const { lower, median, upper } = ratio(key);
      return `${median.toFixed(2)} (${lower.toFixed(2)} to ${upper.toFixed(2)})`;
    };
    // A staleness that is accepted leaves next to nothing to compare.
    const keys = isFull ? (["service", "database"] as const) : (["service"] as const);
    return {
      answers: name,
      instances: count,
      "decisions/s": Math.round(median("decisionsPerSecond")).toLocaleString("en"),
      "service, µs each": median("service").toFixed(1),
      "to one": compared("service"),
      "PostgreSQL, µs each": median("database").toFixed(1),
      "to one ": isFull ? compared("database") : "",
      goal: goalText(goal),
      met: keys.every((key) => isMet(goal, ratio(key))) ? "yes" : "no",
      "statements/s": Math.round(median("statementsPerSecond")).toLocaleString("en"),
      "µs a statement": isFull ? median("statement").toFixed(0) : "",
      "at rest, ms/s": `${median("serviceAtRest").toFixed(1)}, PostgreSQL ${median("databaseAtRest").toFixed(1)}`,
    };
  }),
);
console.table(lines);
const all = [...found.values()].flat();
console.log(
  `PostgreSQL for one of ${blocksPerSecond} blocks a second: ${quartiles(all.map(({ block }) => block)).median.toFixed(0)} µs. ` +
    "An instance at rest follows them: its time, and PostgreSQL's for it, is not counted for decisions.",
);
