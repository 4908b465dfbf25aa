import { fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { constants, setPriority } from "node:os";
import pg from "pg";
import { readConfig } from "../../../src/config/config.ts";
import { startThrowawayServer } from "../../support/throwaway-server.ts";
import { startInstance } from "../support/instance.ts";
import type { MutantName } from "../support/mutants.ts";
import { openClient } from "../support/pair-client.ts";
import { type Figure, percentile } from "../support/report.ts";
import type { FlooderReport, FlooderSettings } from "./flooder.ts";
import { type Heard, openNeighbours } from "./neighbours.ts";

export interface FairnessOptions {
  readonly seed: number;
  /** What the user floods with: blocks and unblocks, or the largest pages of a list of 3,000. */
  readonly flood?: "changes" | "lists";
  /** Windows of calm, and as many of flood, in turn. */
  readonly windows: number;
  readonly windowMs: number;
  /** Connections of the flooding user, each with a call in flight all the time. */
  readonly connections: number;
  /** Goes on with further windows until the user was refused: a busy machine may need them. */
  readonly untilRefused?: boolean;
  readonly mutant?: MutantName | undefined;
}

interface Fairness {
  readonly calm: readonly Heard[];
  readonly flood: readonly Heard[];
  readonly flooder: FlooderReport;
  /** As many writes as the limits grant a user in the time of the run. */
  readonly granted: number;
}

const { writesPerMinute, writesBurst } = readConfig({}).rates;
const control = "/api/v1/e-social/privacy-control";
const listed = 3_000;
const neighbourCount = 8;
const otherCount = 500;
/** Shorter times are noise. */
const floorMs = 10;

/** Has one user flood an instance with the default limits again and again, and listens to the others all the while. */
export async function runFairness(options: FairnessOptions): Promise<Fairness> {
  const { seed, flood: kind = "changes", windows, windowMs, connections, mutant } = options;
  await using parts = new AsyncDisposableStack();
  const server = await startThrowawayServer();
  parts.defer(() => server.stop());
  const instance = parts.use(await startInstance({ database: server.url, limitsCallers: true, mutant }));
  const ids = (count: number) => Array.from({ length: count }, () => randomUUID());
  const [users, others, targets, [greedy]] = [ids(neighbourCount), ids(otherCount), ids(100), ids(1)];
  const client = openClient(instance);
  await client.addUsers([...users, ...others]);
  await client.addUsers([...targets, greedy as string]);
  client.close();

  if (kind === "lists") await addBlocks(server.url, greedy as string);
  const settings: FlooderSettings = {
    url: instance.publicUrl,
    token: await instance.userToken(greedy as string),
    requests:
      kind === "lists"
        ? [`GET ${control}/blocked?page_size=1000`]
        : targets.flatMap((id) => [`POST ${control}/block/${id}`, `DELETE ${control}/unblock/${id}`]),
    connections,
  };
  const flooder = fork(new URL("./flooder.ts", import.meta.url), [JSON.stringify(settings)]);
  parts.defer(async () => {
    const exit = once(flooder, "exit");
    flooder.disconnect();
    await exit;
  });
  // In reality the user has a machine of its own: its computing must not slow the others down.
  setPriority(flooder.pid as number, constants.priority.PRIORITY_LOW);
  const flooding = async (ms: number) => {
    const report = once(flooder, "message");
    flooder.send(ms);
    return (await report)[0];
  };

  const neighbours = await openNeighbours(instance, { seed, users, others });
  parts.defer(() => neighbours.close());
  await neighbours.call(windowMs / 2);
  const [calm, flood]: [Heard[], Heard[]] = [[], []];
  let [startedAt, endedAt] = [0, 0];
  const round = async () => {
    calm.push(await neighbours.call(windowMs));
    startedAt ||= performance.now();
    const [heard] = await Promise.all([neighbours.call(windowMs), flooding(windowMs)]);
    flood.push(heard);
    endedAt = performance.now();
  };
  for (let i = 0; i < windows; i++) await round();
  let report: FlooderReport = await flooding(0);
  while (options.untilRefused && report.refused === 0) {
    await round();
    report = await flooding(0);
  }
  return {
    calm,
    flood,
    flooder: report,
    granted: Math.ceil(writesBurst + ((endedAt - startedAt) / 60_000) * writesPerMinute),
  };
}

/** Gives a user a long list of blocks. */
async function addBlocks(databaseUrl: string, blocker: string): Promise<void> {
  const client = new pg.Client(databaseUrl);
  await client.connect();
  await client.query(
    `with added as (
      insert into users
      select gen_random_uuid(), 'user' || n, 'First' || n, 'Last' || n, array['https://pictures.example/' || n], false
      from generate_series(1, ${listed}) n
      returning id)
    insert into blocks (blocker_id, blocked_id, id, created_at) select $1, id, gen_random_uuid(), now() from added`,
    [blocker],
  );
  await client.end();
}

/** What is promised of limits, however fast the machine is. */
export function countFigures({ calm, flood, flooder, granted }: Fairness): Figure[] {
  const all = [...calm, ...flood];
  const sum = (of: (heard: Heard) => number) => all.reduce((total, heard) => total + of(heard), 0);
  return [
    { name: "others' calls", value: sum(({ users, service }) => users.length + service.length), atLeast: 1 },
    { name: "others' calls refused for being too many", value: sum(({ refused }) => refused), atMost: 0 },
    { name: "calls of who floods", value: flooder.asked },
    { name: "of these let through", value: flooder.letThrough, atLeast: writesBurst, atMost: granted },
    { name: "of these refused", value: flooder.refused, atLeast: 1 },
    { name: "refused without Retry-After", value: flooder.refusedWithoutRetryAfter, atMost: 0 },
    { name: "without an answer", value: flooder.unanswered, atMost: 0 },
  ];
}

/** What is promised when the user floods with lists: none of the others' calls fails. */
export function listFigures({ calm, flood, flooder }: Fairness): Figure[] {
  const sum = (windows: readonly Heard[], of: (heard: Heard) => number) =>
    windows.reduce((total, heard) => total + of(heard), 0);
  const calls = ({ users, service }: Heard) => users.length + service.length;
  return [
    { name: "others' calls under flood", value: sum(flood, calls), atLeast: 1 },
    { name: "of these without a good answer", value: sum(flood, (h) => h.refused + h.failed), atMost: 0 },
    { name: "others' calls in calm without a good answer", value: sum(calm, (h) => h.refused + h.failed) },
    { name: "lists of who floods", value: flooder.asked },
    { name: "of these refused", value: flooder.refused, atLeast: 1 },
    { name: "refused without Retry-After", value: flooder.refusedWithoutRetryAfter, atMost: 0 },
    { name: "without an answer", value: flooder.unanswered, atMost: 0 },
  ];
}

/** What is promised of a machine that has little else to do. */
export function fairnessFigures(fairness: Fairness): Figure[] {
  const { calm, flood, flooder } = fairness;
  const failed = [...calm, ...flood].reduce((total, heard) => total + heard.failed, 0);
  return [
    ...countFigures(fairness),
    { name: "others' calls failed otherwise", value: failed, atMost: 0 },
    { name: "who floods told of overload", value: flooder.overloaded },
    ...(["users", "service"] as const).flatMap((who) => {
      const p99 = (windows: readonly Heard[]) =>
        percentile(
          windows.map((heard) => percentile(heard[who], 99)),
          50,
        );
      const [calmMs, floodMs] = [p99(calm), p99(flood)];
      return [
        { name: `${who}: p99 in calm, ms`, value: calmMs },
        { name: `${who}: p99 under flood, ms`, value: floodMs },
        { name: `${who}: times as much`, value: floodMs / Math.max(calmMs, floorMs), atMost: 2 },
      ];
    }),
  ];
}

/** The p99 of each window, in milliseconds. */
export function fairnessNotes({ calm, flood }: Fairness): string[] {
  const listed = (windows: readonly Heard[], who: "users" | "service") =>
    windows.map((heard) => percentile(heard[who], 99).toFixed(0)).join(" ");
  return (["users", "service"] as const).map(
    (who) => `${who}: p99 of the windows in calm ${listed(calm, who)}; under flood ${listed(flood, who)}`,
  );
}
