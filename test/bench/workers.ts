import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { startDatabase } from "./harness/database.ts";
import { type Finding, findingLine } from "./harness/findings.ts";
import { cpuSecondsOfTree, requireTools } from "./harness/machine.ts";
import type { Server } from "./harness/processes.ts";
import { progress } from "./harness/progress.ts";
import { startFlags } from "./harness/start-flags.ts";
import { quartiles } from "./harness/statistics.ts";
import { readOptions } from "./options.ts";
import { workerRow } from "./rows/workers.ts";
import { environmentOf, mintServiceToken } from "./setting.ts";

const readyMs = 30_000;
const counts = [1, 2];

/** Starts the service with some workers, free to run on every core. Its log goes into a file. */
async function startWorkers(url: string, count: number, log: string): Promise<Server> {
  const output = openSync(log, "w");
  const child = spawn(process.execPath, [...startFlags, "src/main.ts"], {
    env: {
      PATH: process.env.PATH,
      NODE_ENV: "production",
      ALLOW_PLAINTEXT: "on",
      DRAIN_DELAY_MS: "0",
      WORKERS: String(count),
      ...environmentOf(url),
    },
    stdio: ["ignore", output, "inherit"],
  });
  closeSync(output);
  const started = () => /^.*"msg":"listening".*$/m.exec(readFileSync(log, "utf8"))?.[0];
  for (const endsAt = performance.now() + readyMs; started() === undefined; await setTimeout(20)) {
    if (performance.now() > endsAt || child.exitCode !== null)
      throw new Error(`the service is not ready:\n${readFileSync(log, "utf8")}`);
  }
  const { publicUrl, internalUrl } = JSON.parse(started() ?? "");
  return {
    pid: child.pid ?? 0,
    ports: { http: Number(new URL(publicUrl).port), grpc: Number(new URL(internalUrl).port) },
    cpuSeconds: () => cpuSecondsOfTree(child.pid ?? 0),
    checkLog() {
      if (child.exitCode !== null) throw new Error("the service has ended");
    },
    async stop() {
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

const options = readOptions("bench:workers", "Measures what a second worker costs.", ["--size", "small"]);
requireTools();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
const folder = mkdtempSync(join(tmpdir(), "privacy-control-workers-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
const say = progress();

await using parts = new AsyncDisposableStack();
const { url, client } = parts.use(await startDatabase(options.size, (what) => say(`data: ${what}`)));
const servers: Server[] = [];
for (const count of counts) {
  const server = await startWorkers(url, count, join(folder, `${count}.log`));
  parts.defer(() => server.stop());
  servers.push(server);
}
const setting = { folder, serviceToken: await mintServiceToken() };
const measureRow = await workerRow(setting, client, options.size);
const measureWith = (i: number, ms: number) => measureRow(servers[i] as Server, counts[i] ?? 0, ms);
for (const i of counts.keys()) await measureWith(i, options.warmUpMs);
const perSecond: number[][] = counts.map(() => []);
for (let round = 0; round < options.rounds; round++) {
  say(`round ${round + 1} of ${options.rounds}`);
  const order = round % 2 === 0 ? counts.keys() : [...counts.keys()].toReversed();
  for (const i of order) perSecond[i]?.push(await measureWith(i, options.ms));
}
const [one = [], two = []] = perSecond;
const ratios = quartiles(two.map((value, round) => value / (one[round] ?? Number.NaN)));
const findings: Finding[] = [
  ...counts.map((count, i) => ({
    what: `calls per second of processor, ${count} worker${count === 1 ? "" : "s"}`,
    value: quartiles(perSecond[i] ?? []).median,
    unit: "",
  })),
  { what: "2 workers against 1, lower quartile", value: ratios.lower, unit: "", goal: { atLeast: 0.85 } },
  { what: "2 workers against 1, median", value: ratios.median, unit: "" },
  { what: "2 workers against 1, upper quartile", value: ratios.upper, unit: "" },
];
console.table(findings.map(findingLine));
