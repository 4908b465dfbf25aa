import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import pg from "pg";
import { startThrowawayServer } from "../../support/throwaway-server.ts";
import { startInstance } from "../support/instance.ts";
import type { MutantName } from "../support/mutants.ts";
import { openClient } from "../support/pair-client.ts";
import type { Figure } from "../support/report.ts";
import { openTimedClient, type TimedCall } from "./timed-client.ts";

const deadlineMs = 100;
/** As docs/resilience.md promises. */
const connections = 22;
/** As many statements of changes run at once. */
const places = 16;
const lookMs = 5;
/** A run must end, also on a mutant. */
const patienceMs = 10_000;

export interface DeadlineOptions {
  readonly calls: number;
  /** How many of them are under way at once. */
  readonly atOnce: number;
  readonly mutant?: MutantName | undefined;
}

/** What callers of a locked row saw, and what they left behind. */
interface DeadlineOutcome {
  /** The status and the time of each call with a deadline. */
  readonly answers: readonly { readonly status: number; readonly ms: number }[];
  /** How long their statements outlived the last answer, in each round. */
  readonly endedMs: readonly number[];
  /** The same after calls that were reset. */
  readonly resetGoneMs: readonly number[];
  /** The most connections that the database had. */
  readonly connections: number;
  /** The share of calls that were answered well, one for each connection, once the row was free. */
  readonly afterwards: number;
}

/** Makes calls that wait for a locked row: some until their deadline, some until they are reset. */
export async function runDeadlines({ calls, atOnce, mutant }: DeadlineOptions): Promise<DeadlineOutcome> {
  await using parts = new AsyncDisposableStack();
  const server = await startThrowawayServer();
  parts.defer(() => server.stop());
  const instance = parts.use(await startInstance({ database: server.url, mutant }));
  const client = openClient(instance);
  parts.defer(() => client.close());
  const timed = await openTimedClient(instance);
  parts.defer(() => timed.close());
  const [admin, observer] = [0, 1].map(() => new pg.Client({ connectionString: server.url })) as [
    pg.Client,
    pg.Client,
  ];
  for (const one of [admin, observer]) {
    await one.connect();
    parts.defer(() => one.end());
  }

  const others = Array.from({ length: atOnce }, () => randomUUID());
  const hot = randomUUID();
  await client.addUsers([hot, ...others]);
  // Each change of a pair of its own, so that every connection has one that waits.
  await admin.query("begin; lock table blocks, mutes in exclusive mode");

  let most = 0;
  /** The connections of the instance that have something to do. */
  const busy = async () => {
    const { rows } = await observer.query(`
      select state from pg_stat_activity where application_name like 'privacy-control%' and
        datname = current_database()`);
    most = Math.max(most, rows.length);
    return rows.filter(({ state }) => state !== "idle").length;
  };
  const prepare = (timeoutMs?: number): (() => TimedCall)[] =>
    others.map((user, i) => timed.prepare(i % 2 === 0 ? "mute" : "block", user, hot, timeoutMs));
  const limitedCalls = prepare(deadlineMs);
  const unlimitedCalls = prepare();
  const untilGone = async () => {
    const began = performance.now();
    while ((await busy()) > 0 && performance.now() - began < patienceMs) await setTimeout(lookMs);
    return performance.now() - began;
  };
  const untilWaiting = async () => {
    const began = performance.now();
    while ((await busy()) < places && performance.now() - began < patienceMs) await setTimeout(lookMs);
  };

  const answers: { status: number; ms: number }[] = [];
  const endedMs: number[] = [];
  const resetGoneMs: number[] = [];
  while (answers.length < calls) {
    answers.push(...(await Promise.all(limitedCalls.map((start) => start().answer))));
    endedMs.push(await untilGone());
    const unlimited = unlimitedCalls.map((start) => start());
    await untilWaiting();
    for (const call of unlimited) call.reset();
    resetGoneMs.push(await untilGone());
  }
  await admin.query("rollback");
  // As many as there are connections for changes: further calls might wait too long.
  const last = others.slice(0, places).map((user) => timed.prepare("mute", user, hot)().answer);
  const afterwards = await Promise.all(last);
  await busy();
  return {
    answers,
    endedMs,
    resetGoneMs,
    connections: most,
    afterwards: afterwards.filter(({ status }) => status === 0).length / places,
  };
}

/** What is promised of deadlines. `slack`: how much longer a machine that has much else to do may take. */
export function deadlineFigures(outcome: DeadlineOutcome, slack = 1): Figure[] {
  const { answers, endedMs, resetGoneMs } = outcome;
  const late = answers.filter(({ status }) => status !== Code.DeadlineExceeded);
  return [
    { name: "calls with a deadline of 100 ms", value: answers.length },
    { name: "answered otherwise", value: late.length, atMost: 0 },
    { name: "slowest answer, ms", value: Math.max(...answers.map(({ ms }) => ms)), atMost: 150 * slack },
    { name: "last statement ended after, ms", value: Math.max(...endedMs), atMost: 200 * slack },
    { name: "the same after resets, ms", value: Math.max(...resetGoneMs), atMost: 200 * slack },
    { name: "most connections", value: outcome.connections, atMost: connections },
    { name: "share answered when the row is free", value: outcome.afterwards, atLeast: 1 },
  ];
}
