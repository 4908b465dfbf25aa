import { once } from "node:events";
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readCommandLine } from "../../src/command.ts";
import { runScript } from "../support/process.ts";
import { startThrowawayServer } from "../support/throwaway-server.ts";

const usage = `Usage:
  npm run bench:import -- [USERS [EDGES]]

Measures an import of that many records: 100000 and 1000000 unless said
otherwise.
`;
const { positionals } = readCommandLine(usage, { allowPositionals: true, options: {} });
const [users = 100_000, edges = 1_000_000] = positionals.map(Number);

const id = (n: number) => `00000000-0000-4000-8000-${n.toString(16).padStart(12, "0")}`;

/** Writes users, then follows, mutes and blocks between random ones of them. */
async function writeFile(path: string): Promise<void> {
  const file = createWriteStream(path);
  const write = async (record: object) => {
    if (!file.write(`${JSON.stringify(record)}\n`)) await once(file, "drain");
  };
  for (let n = 0; n < users; n++) await write({ type: "user", id: id(n), userName: `user${n}` });
  const kinds = ["follow", "follow", "mute", "block"];
  const random = () => id(Math.floor(Math.random() * users));
  for (let n = 0; n < edges; n++) {
    const createdAt = new Date(1.7e12 + n * 1_000).toISOString();
    await write({ type: kinds[n % kinds.length], ownerId: random(), targetId: random(), createdAt });
  }
  file.end();
  await once(file, "close");
}

/** The most resident memory that a process ever had, in MB. */
function peakMemory(pid: number): number {
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024);
}

const folder = mkdtempSync(join(tmpdir(), "privacy-control-import-"));
const server = await startThrowawayServer();
const environment = {
  DATABASE_URL: server.url,
  DATA_DIR: folder,
  HTTP_PORT: "0",
  GRPC_PORT: "0",
  ADMIN_PORT: "0",
  LOG_LEVEL: "error",
};
const service = runScript("start", environment);
try {
  const text = await service.sees(/npm run token -- --service/);
  const [, url = ""] = /gRPC for services\s+(http:\S+)/.exec(text) ?? [];
  const path = join(folder, "graph.ndjson");
  await writeFile(path);
  const servicePid = Number(
    readFileSync(`/proc/${service.child.pid}/task/${service.child.pid}/children`, "utf8"),
  );
  const before = peakMemory(servicePid);
  const startedAt = performance.now();
  const run = runScript("import", environment, [path, "--url", url]);
  await run.exited;
  const seconds = (performance.now() - startedAt) / 1_000;
  process.stdout.write(run.output());
  process.stdout.write(
    `${users + edges} records in ${seconds.toFixed(1)} s, ${Math.round((users + edges) / seconds)} a second; ` +
      `the service's peak memory ${before} MB before, ${peakMemory(servicePid)} MB after\n`,
  );
} finally {
  await service.stop();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
