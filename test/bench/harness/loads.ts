import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import type { GrpcJob, LoadResult } from "../load/job.ts";
import { onCore, otherCore } from "./machine.ts";

const run = promisify(execFile);
/** How much longer than its measurement a load may take. */
const graceMs = 30_000;

/** Checked gRPC calls by the benchmark's own client. */
export async function grpcLoad(job: GrpcJob): Promise<LoadResult> {
  const [program, args] = onCore(otherCore, [process.execPath, "test/bench/load/grpc-load.ts"]);
  const child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const timer = setTimeout(() => child.kill("SIGKILL"), job.rampMs + job.ms + graceMs);
  child.send(job);
  try {
    const [result] = await Promise.race([once(child, "message"), failure(child)]);
    return result;
  } finally {
    clearTimeout(timer);
  }
}

async function failure(child: ReturnType<typeof spawn>): Promise<never> {
  await once(child, "exit");
  throw new Error("the gRPC load ended without a result");
}

/** REST requests that wrk sends, as `rest.lua` reads them off a file, with what every answer must contain. */
export interface RestJob {
  readonly url: string;
  readonly requestsFile: string;
  readonly connections: number;
  /** Lines come in pairs that must follow each other on one connection. */
  readonly paired: boolean;
  readonly needle: string;
  readonly ms: number;
}

export async function restLoad(job: RestJob): Promise<LoadResult> {
  const { url, requestsFile, connections, paired, needle, ms } = job;
  const threads = paired ? connections : 1;
  const { text, cpuSeconds } = await output(
    [
      ...[
        "wrk",
        "-t",
        String(threads),
        "-c",
        String(connections),
        "-d",
        `${ms / 1_000}s`,
        "--timeout",
        "10s",
      ],
      ...["-s", "test/bench/load/rest.lua", url, "--"],
      ...[requestsFile, String(threads), paired ? "paired" : "single", needle],
    ],
    ms,
  );
  const fields = /^RESULT\t(.*)$/m.exec(text)?.[1]?.split("\t");
  if (fields === undefined) throw new Error(`wrk gave no result:\n${text}`);
  const [total = 0, seconds = 0, p50Ms = 0, p99Ms = 0, wrong = 0] = fields.map(Number);
  return {
    total,
    rate: total / seconds,
    p50Ms,
    p99Ms,
    wrong,
    example: fields[5],
    generatorShare: cpuSeconds / seconds,
  };
}

/** The same gRPC call again and again, by h2load. It checks nothing but the HTTP status. */
export interface RepeatJob {
  readonly url: string;
  readonly bodyFile: string;
  readonly headers: Record<string, string>;
  readonly sessions: number;
  readonly streams: number;
  readonly ms: number;
}

export async function repeatLoad({
  url,
  bodyFile,
  headers,
  sessions,
  streams,
  ms,
}: RepeatJob): Promise<LoadResult> {
  const sent = { "content-type": "application/grpc", te: "trailers", ...headers };
  const seconds = ms / 1_000;
  const { text, cpuSeconds } = await output(
    [
      ...["h2load", "-c", String(sessions), "-m", String(streams), "-D", String(seconds), "-d", bodyFile],
      ...Object.entries(sent).flatMap(([name, value]) => ["-H", `${name}: ${value}`]),
      url,
    ],
    ms,
  );
  const number = (pattern: RegExp) => Number(pattern.exec(text)?.[1]);
  const rate = number(/([\d.]+) req\/s/);
  if (!(rate > 0)) throw new Error(`h2load gave no result:\n${text}`);
  const answered = number(/status codes: (\d+) 2xx/);
  const wrong =
    number(/(\d+) failed/) + number(/, (\d+) 3xx/) + number(/, (\d+) 4xx/) + number(/, (\d+) 5xx/);
  return {
    total: answered,
    rate,
    p50Ms: Number.NaN,
    p99Ms: Number.NaN,
    wrong,
    example: wrong > 0 ? text : undefined,
    generatorShare: cpuSeconds / seconds,
  };
}

/** Transactions of a script by pgbench, with prepared statements. */
export interface TransactionJob {
  readonly url: string;
  readonly scriptFile: string;
  readonly clients: number;
  readonly ms: number;
}

export async function transactionLoad({ url, scriptFile, clients, ms }: TransactionJob): Promise<LoadResult> {
  const seconds = Math.ceil(ms / 1_000);
  const { text, cpuSeconds } = await output(
    ["pgbench", "-n", "-M", "prepared", "-c", String(clients), "-T", String(seconds), "-f", scriptFile, url],
    ms,
  );
  const rate = Number(/tps = ([\d.]+)/.exec(text)?.[1]);
  if (!(rate > 0)) throw new Error(`pgbench gave no result:\n${text}`);
  return {
    total: Number(/actually processed: (\d+)/.exec(text)?.[1]),
    rate,
    p50Ms: Number(/latency average = ([\d.]+)/.exec(text)?.[1]),
    p99Ms: Number.NaN,
    wrong: Number(/number of failed transactions: (\d+)/.exec(text)?.[1] ?? 0),
    example: undefined,
    generatorShare: cpuSeconds / seconds,
  };
}

/** Runs a program on the core of the load; returns what it wrote and the processor time it took. */
async function output(command: readonly string[], ms: number): Promise<{ text: string; cpuSeconds: number }> {
  const [program, args] = onCore(otherCore, command);
  // The shell's `times` has the user and system time of its children in its second line.
  const shell = ["-c", '"$@" 2>&1; status=$?; times; exit $status', "sh", program, ...args];
  const { stdout } = await run("sh", shell, {
    timeout: ms + graceMs,
    killSignal: "SIGKILL",
    maxBuffer: 2 ** 24,
  });
  const times = stdout.trimEnd().split("\n").at(-1) ?? "";
  const cpuSeconds = [...times.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds),
    0,
  );
  return { text: stdout, cpuSeconds };
}
