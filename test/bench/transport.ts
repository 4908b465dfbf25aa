import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { readCommandLine } from "../../src/command.ts";
import { GrpcClient } from "../support/grpc-client.ts";

const usage = `Usage:
  npm run bench:transport

Compares the ways a unary gRPC call can be served.
`;

readCommandLine(usage, {});

const servers = ["the fast path", "Connect's adapter", "@grpc/grpc-js"];
const rounds = 5;
const seconds = 3;
const sessions = 8;
const streams = 16;
const { getPrivacySettings } = PrivacyControlService.method;
const path = `/${PrivacyControlService.typeName}/${getPrivacySettings.name}`;

const run = promisify(execFile);
const has = (command: string) => spawnSync("which", [command]).status === 0;
const pin = (core: number) => (has("taskset") ? ["taskset", "-c", String(core)] : []);

interface BenchServer {
  readonly name: string;
  readonly child: ChildProcess;
  readonly url: string;
}

interface Result {
  /** Calls a second. */
  readonly rate: number;
  /** Microseconds of the server's processor a call. */
  readonly cpu: number;
}

/** Starts a server on core 0 and waits for its port. */
async function startServer(name: string): Promise<BenchServer> {
  const [command = "", ...args] = [...pin(0), process.execPath, "test/bench/transport-server.ts", name];
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit", "ipc"] });
  if (child.stdout === null) throw new Error("no output to read the port from");
  const [port] = await once(child.stdout, "data");
  const url = `http://127.0.0.1:${String(port).trim()}`;
  const client = new GrpcClient(url);
  await client.start(getPrivacySettings, {}).reply;
  client.close();
  return { name, child, url };
}

async function cpuOf(child: ChildProcess): Promise<number> {
  const answer = once(child, "message");
  child.send("cpu?");
  const [{ user, system }] = await answer;
  return user + system;
}

/** What a load on core 1 got out of a server. */
async function measure({ child, url }: BenchServer, bodyFile: string, duration: number): Promise<Result> {
  const load = has("h2load")
    ? [
        ...["h2load", "-c", `${sessions}`, "-m", `${streams}`, "-D", `${duration}`, "-d", bodyFile],
        ...["-H", "content-type: application/grpc", "-H", "te: trailers", url + path],
      ]
    : [
        process.execPath,
        "test/bench/transport-load.ts",
        url + path,
        `${sessions}`,
        `${streams}`,
        `${duration}`,
      ];
  const [command = "", ...args] = [...pin(1), ...load];
  const before = await cpuOf(child);
  const { stdout } = await run(command, args);
  const used = (await cpuOf(child)) - before;
  const failed = /(\d+) failed/.exec(stdout)?.[1] ?? "0";
  const rate = Number(/([\d.]+) req\/s/.exec(stdout)?.[1]);
  if (!(rate > 0) || failed !== "0") throw new Error(`the load failed:\n${stdout}`);
  return { rate, cpu: used / (rate * duration) };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

const bodyFile = join(tmpdir(), `empty-message-${process.pid}`);
writeFileSync(bodyFile, Buffer.alloc(5));
const started: { server: BenchServer; results: Result[] }[] = [];
try {
  if (!has("h2load"))
    console.log("h2load (nghttp2-client) is not here: a client of Node makes the load, and limits it");
  if (!has("taskset")) console.log("taskset is not here: processes are not pinned to cores");
  for (const name of servers) started.push({ server: await startServer(name), results: [] });
  for (const { server } of started) await measure(server, bodyFile, 2);
  for (let round = 0; round < rounds; round++)
    for (const { server, results } of started) results.push(await measure(server, bodyFile, seconds));
} finally {
  for (const { server } of started) server.child.kill();
  rmSync(bodyFile);
}

const rows = started.map(({ server, results }) => ({
  name: server.name,
  rates: results.map(({ rate }) => rate),
  cpu: median(results.map(({ cpu }) => cpu)),
}));
const dearest = Math.max(...rows.map(({ cpu }) => cpu));
console.log(
  `empty unary gRPC calls, ${sessions} sessions of ${streams} streams, one core for the server; ` +
    `${rounds} alternating rounds of ${seconds} s; Node ${process.version}`,
);
console.table(
  Object.fromEntries(
    rows.map(({ name, rates, cpu }) => [
      name,
      {
        "calls/s, median": Math.round(median(rates)),
        lowest: Math.round(Math.min(...rates)),
        highest: Math.round(Math.max(...rates)),
        "processor µs/call, median": Math.round(cpu * 10) / 10,
        "times cheaper": Math.round((dearest / cpu) * 100) / 100,
      },
    ]),
  ),
);
