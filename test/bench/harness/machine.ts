import { execFile, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The core of the measured server, and the core of everything else. */
export const serverCore = 0;
export const otherCore = 1;

const clockTicksPerSecond = 100;

/** Throws an error that names what the benchmark needs and this machine lacks. */
export function requireTools(): void {
  const packages = { taskset: "util-linux", h2load: "nghttp2-client", wrk: "wrk", pgbench: "postgresql" };
  const missing = Object.entries(packages).filter(([tool]) => spawnSync("which", [tool]).status !== 0);
  if (missing.length > 0)
    throw new Error(`missing: ${missing.map(([tool, name]) => `${tool} (Debian's ${name})`).join(", ")}`);
  if (cpus().length < 2)
    throw new Error("two processor cores are needed: one for the server, one for the load");
}

/** A command that runs on one core. */
export function onCore(core: number, command: readonly string[]): [command: string, args: string[]] {
  return ["taskset", ["-c", String(core), ...command]];
}

/** Moves a process, its threads and its children to a core; those that they start later follow. */
export async function moveToCore(pid: number, core: number): Promise<void> {
  for (const process of [pid, ...childrenOf(pid)]) {
    await run("taskset", ["-a", "-c", "-p", String(core), String(process)]);
  }
}

/** Processor seconds that a process has used, all its threads together. */
export function cpuSecondsOf(pid: number): number {
  const [user, system] = statOf(pid).slice(11, 13).map(Number);
  return ((user ?? 0) + (system ?? 0)) / clockTicksPerSecond;
}

/** Processor seconds of a process that starts others and waits for those that end: of itself and of all of them. */
export function cpuSecondsOfFamily(pid: number): number {
  const [user = 0, system = 0, endedUser = 0, endedSystem = 0] = statOf(pid).slice(11, 15).map(Number);
  const own = (user + system + endedUser + endedSystem) / clockTicksPerSecond;
  return childrenOf(pid).reduce((sum, child) => sum + (ofLiving(() => cpuSecondsOf(child)) ?? 0), own);
}

/** Resident memory of a process, in megabytes. */
export function residentMegabytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

/** The process that started a process. */
function parentOf(pid: number): number {
  return Number(statOf(pid)[1]);
}

/** The fields of a process's `stat` from the state on; the name before may hold anything. */
function statOf(pid: number): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

/** The processes that a process started. */
export function childrenOf(pid: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((candidate) => ofLiving(() => parentOf(candidate)) === pid);
}

/** What is read of a process; undefined when it has ended. */
function ofLiving(read: () => number): number | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
