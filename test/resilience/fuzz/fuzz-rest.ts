import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { startCanary } from "../support/canary.ts";
import { Http1Connection } from "../support/http1-client.ts";
import { startInstance } from "../support/instance.ts";
import type { MutantName } from "../support/mutants.ts";
import { Problems, type Report } from "../support/report.ts";
import { register } from "../support/users.ts";
import { type BrokenRequest, brokenRequests } from "./broken-requests.ts";
import { faultOf } from "./check-answer.ts";
import { bytesOf, type FuzzedRequest, fuzzedRequests } from "./rest-requests.ts";

export interface FuzzOptions {
  readonly databaseUrl: string | undefined;
  readonly mutant?: MutantName | undefined;
  readonly seed: number;
  /** How many requests are made up. */
  readonly count: number;
  /** The longest that an answer may take, in milliseconds. */
  readonly slowMs: number;
  /** Ends at the first problem. */
  readonly untilProblem?: boolean;
}

/** Connections in use at once: fewer than the service has to the database, so that no call waits for one on a slow machine. */
const clients = 12;
/** The longest that anyone waits for an answer, in milliseconds. */
const longMs = 10_000;
/** How long the bytes of a broken request may stay unanswered before their sender gives up. */
const patienceMs = 30;
/** How many examples are generated at a time: that takes the event loop, and delays the measured times. */
const batch = 50;

/** Sends generated requests of all routes, one in five of them broken, and checks every answer. */
export async function fuzzRest({
  databaseUrl,
  mutant,
  seed,
  count,
  slowMs,
  untilProblem,
}: FuzzOptions): Promise<Report> {
  const problems = new Problems();
  await using instance = await startInstance({ database: databaseUrl, mutant });
  const users = Array.from({ length: 8 }, () => randomUUID());
  await register(instance.internalUrl, await instance.serviceToken(), users);
  const good = await Promise.all(users.slice(0, -1).map((id) => instance.userToken(id)));
  const tokens = [
    ...good.map((token) => `Bearer ${token}`),
    ...good,
    `Bearer ${await instance.serviceToken()}`,
    `Bearer ${await instance.userToken(randomUUID())}`,
    "Bearer x.y.z",
    "",
  ];
  const canary = await startCanary(instance, users.at(-1) ?? "");
  const port = Number(new URL(instance.publicUrl).port);
  const framed = fuzzedRequests({ users: users.slice(0, -1), tokens });
  const either = fc.oneof(
    { weight: 4, arbitrary: framed.map((request) => ({ request })) },
    { weight: 1, arbitrary: brokenRequests(framed).map((broken) => ({ broken })) },
  );
  const cases = (function* () {
    for (let left = count, i = 0; left > 0; left -= batch, i++)
      yield* fc.sample(either, { seed: seed + i, numRuns: Math.min(left, batch) });
  })();
  const statuses = new Map<number, number>();
  const counted = (status: number) => statuses.set(status, (statuses.get(status) ?? 0) + 1);
  let sent = 0;

  async function client(): Promise<void> {
    let connection: Http1Connection | undefined;
    for (const one of cases) {
      if (instance.ended() !== undefined || (untilProblem && problems.any())) break;
      sent++;
      if ("broken" in one) {
        await sendBroken(port, one.broken, problems, counted);
      } else {
        if (connection === undefined || connection.ended) connection = new Http1Connection(port);
        connection = await sendFramed(connection, one.request, problems, counted, slowMs);
      }
    }
    connection?.socket.destroy();
  }
  await Promise.all(Array.from({ length: clients }, client));

  const { calls, failures, slowest } = await canary.stop();
  for (const failure of failures) problems.add("the canary failed", failure);
  problems.inspect(instance);
  const byStatus = [...statuses].sort(([a], [b]) => a - b).map(([status, times]) => `${status}: ${times}`);
  return problems.report(
    [
      { name: "requests", value: sent },
      { name: "canary calls", value: calls },
      { name: "slowest of the canary, ms", value: slowest, atMost: slowMs },
    ],
    [`answers by status: ${byStatus.join(", ")}`],
  );
}

/** Sends a request and checks its answer; returns the connection when it can be used again. */
async function sendFramed(
  connection: Http1Connection,
  request: FuzzedRequest,
  problems: Problems,
  counted: (status: number) => void,
  slowMs: number,
): Promise<Http1Connection | undefined> {
  const bytes = bytesOf(request);
  const shown = () => bytes.toString("latin1").slice(0, 600);
  const startedAt = performance.now();
  connection.socket.write(bytes);
  try {
    const answer = await connection.next(request.verb, longMs);
    const ms = performance.now() - startedAt;
    if (answer === undefined) {
      problems.add("no answer", shown());
      connection.socket.destroy();
      return undefined;
    }
    counted(answer.status);
    if (ms > slowMs) problems.add("a slow answer", `${Math.round(ms)} ms: ${shown()}`);
    const fault = faultOf(answer, request.verb);
    if (fault !== undefined) problems.add(fault, `${answer.status} ${answer.body} to ${shown()}`);
    if (answer.headers.connection !== "close") return connection;
  } catch (failure) {
    problems.add("an answer that is no HTTP", `${(failure as Error).message} to ${shown()}`);
  }
  connection.socket.destroy();
  return undefined;
}

/** Sends bytes on a connection of their own, and checks all answers until it ends. */
async function sendBroken(
  port: number,
  { bytes, onlyAnswer }: BrokenRequest,
  problems: Problems,
  counted: (status: number) => void,
): Promise<void> {
  const connection = new Http1Connection(port);
  const text = bytes.toString("latin1");
  const shown = () => text.slice(0, 600);
  // Where one of the requests may be HEAD, it is unknown which answers have bodies.
  const checked = !text.includes("HEAD ");
  const seen: number[] = [];
  connection.socket.write(bytes);
  try {
    for (;;) {
      const answer = await connection.next("GET", onlyAnswer === undefined ? patienceMs : longMs);
      if (answer === undefined) break;
      seen.push(answer.status);
      counted(answer.status);
      const fault = checked ? faultOf(answer, "GET") : undefined;
      if (fault !== undefined) problems.add(fault, `${answer.status} ${answer.body} to ${shown()}`);
    }
  } catch (failure) {
    if (checked) problems.add("an answer that is no HTTP", `${(failure as Error).message} to ${shown()}`);
  }
  if (onlyAnswer !== undefined && seen.join() !== String(onlyAnswer))
    problems.add("ambiguous, but read", `${seen} to ${shown()}`);
  connection.socket.destroy();
}
