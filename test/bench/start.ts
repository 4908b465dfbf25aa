import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { AccessService } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { checkCalls, mixedChecks } from "./data/questions.ts";
import { startDatabase } from "./harness/database.ts";
import { grpcLoad } from "./harness/loads.ts";
import { onCore, residentMegabytes, serverCore } from "./harness/machine.ts";
import { type Finding, findingLine } from "./harness/results.ts";
import { startFlags } from "./harness/start-flags.ts";
import { quartiles } from "./harness/statistics.ts";
import { packCalls } from "./load/exchanges.ts";
import { beginBenchmark } from "./options.ts";
import { mintServiceToken, startOurs } from "./setting.ts";

const starts = 5;
const firstCalls = 100_000;
const allCalls = 1_000_000;
const hourMs = 3_600_000;

/** Starts the service as `npm start` does; returns how long that took, in seconds. */
async function timeStart(environment: Record<string, string>): Promise<number> {
  const startedAt = performance.now();
  const [command, args] = onCore(serverCore, [process.execPath, ...startFlags, "src/main.ts"]);
  const child = spawn(command, args, {
    env: { PATH: process.env.PATH, HTTP_PORT: "0", GRPC_PORT: "0", ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const url = await publicUrl(child);
  const { status } = await fetch(`${url}/readyz`);
  const seconds = (performance.now() - startedAt) / 1_000;
  if (status !== 200) throw new Error(`the service answered ${status} when it said that it was ready`);
  child.kill("SIGTERM");
  await once(child, "exit");
  return seconds;
}

async function publicUrl(child: ChildProcess): Promise<string> {
  let output = "";
  for await (const chunk of child.stdout ?? []) {
    output += chunk;
    const url = /^URL=(http:\S+)$/m.exec(output)?.[1];
    if (url !== undefined) return url;
  }
  throw new Error(`the service ended before it was ready:\n${output}`);
}

async function timeStarts(environment: Record<string, string>): Promise<number> {
  // The first one makes the tables and compiles the code.
  await timeStart(environment);
  const found: number[] = [];
  for (let i = 0; i < starts; i++) found.push(await timeStart(environment));
  return quartiles(found).median;
}

const { options, folder, say } = beginBenchmark("bench:start", "Measures the start and the memory.", [
  "--size",
  "small",
]);

say("starts on an embedded directory");
const onEmbedded = await timeStarts({ DATA_DIR: join(folder, "data") });
await using database = await startDatabase(options.size, (what) => say(`data: ${what}`));
say("starts on PostgreSQL");
const onPostgresql = await timeStarts({ DATA_DIR: folder, DATABASE_URL: database.url });

const server = await startOurs(database.url, join(folder, "ours.log"));
await using _stop = { [Symbol.asyncDispose]: () => server.stop() };
const atStart = residentMegabytes(server.pid);
const calls = checkCalls(await mixedChecks(database.client, options.size.users, 20_000));
const callsFile = join(folder, "calls");
const token = await mintServiceToken();
const makeCalls = async (count: number) => {
  say(`${count.toLocaleString("en")} calls`);
  for (let made = 0; made < count; made += firstCalls) {
    writeFileSync(
      callsFile,
      packCalls(Array.from({ length: firstCalls / calls.length }, () => calls).flat()),
    );
    const { total, wrong, example } = await grpcLoad({
      url: `http://127.0.0.1:${server.ports.grpc}`,
      path: `/${AccessService.typeName}/CheckAccess`,
      headers: { authorization: `Bearer ${token}` },
      callsFile,
      once: true,
      sessions: 4,
      streams: 16,
      rampMs: 0,
      ms: hourMs,
    });
    if (wrong > 0 || total !== firstCalls) throw new Error(`${wrong} wrong answers, the first: ${example}`);
    server.checkLog();
  }
  return residentMegabytes(server.pid);
};
const afterFirst = await makeCalls(firstCalls);
const afterAll = await makeCalls(allCalls - firstCalls);
const findings: Finding[] = [
  { what: "ready on an embedded directory", value: onEmbedded, unit: "s", goal: { atMost: 3 } },
  { what: "ready on PostgreSQL", value: onPostgresql, unit: "s", goal: { atMost: 1.5 } },
  { what: "memory after the start", value: atStart, unit: "MB" },
  { what: `memory after ${firstCalls.toLocaleString("en")} calls`, value: afterFirst, unit: "MB" },
  {
    what: `memory after ${allCalls.toLocaleString("en")} calls`,
    value: afterAll,
    unit: "MB",
    goal: { atMost: Math.round(afterFirst * 1.15) },
  },
];
console.table(findings.map(findingLine));
