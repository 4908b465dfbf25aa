import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import pg from "pg";
import type { UserId } from "../../../src/domain/users.ts";
import { databaseOn } from "../../../src/store/database.ts";
import { openPostgresql } from "../../../src/store/postgresql.ts";
import { type HaProxy, startHaProxy } from "../../support/haproxy.ts";
import { startThrowawayServer, type ThrowawayServer } from "../../support/throwaway-server.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import { type Call, startMixedLoad } from "../support/mixed-load.ts";
import type { MutantName } from "../support/mutants.ts";
import { openClient } from "../support/pair-client.ts";
import { type Figure, figuresOf } from "../support/report.ts";
import { freezeServer, killServer } from "../support/server-faults.ts";

/** The service must be available, with right answers, within this time after the new primary's first answer. */
const overMs = 5_000;
const askMs = 10;
/** The longest time until the checks must find the later block. */
const giveUpMs = 4 * overMs;

/** Does to a primary what replaces it, and returns what must be undone before it can be stopped. */
type Replaced = (server: ThrowawayServer) => Promise<(() => void) | undefined>;

interface Fate {
  readonly replace: Replaced;
  /** Whether it still answers checks, with outdated data. */
  readonly answers: boolean;
  /** Whether it is part of the short form. */
  readonly inShort: boolean;
}

/** The states of an old primary after a failover. */
export const fates: Record<string, Fate> = {
  /** Its machine is unreachable: connections are neither answered nor closed. */
  silent: { replace: freezeServer, answers: false, inShort: true },
  killed: {
    async replace(server) {
      await killServer(server);
      return undefined;
    },
    answers: false,
    inShort: false,
  },
  /** It keeps its connections and refuses changes. */
  "read-only": {
    async replace({ url }) {
      await run(url, "alter system set default_transaction_read_only = on");
      await run(url, "select pg_reload_conf()");
      return undefined;
    },
    answers: false,
    inShort: false,
  },
  /** It is not fenced: it keeps its connections and acts as a primary (split brain). */
  kept: { replace: async () => undefined, answers: true, inShort: true },
};

/** A primary, its synchronous standby, a proxy before them, and an instance behind it. */
interface FailoverStage extends AsyncDisposable {
  readonly primary: ThrowawayServer;
  readonly standby: ThrowawayServer;
  readonly proxy: HaProxy;
  readonly instance: Instance;
}

export async function openFailover(haproxy: string, mutant?: MutantName): Promise<FailoverStage> {
  await using parts = new AsyncDisposableStack();
  const primary = await startThrowawayServer();
  parts.defer(() => primary.stop());
  const standby = await startThrowawayServer({ standbyOf: primary.url });
  parts.defer(() => standby.stop());
  // So that the standby has all that was acknowledged.
  await run(primary.url, "alter system set synchronous_standby_names = '*'");
  await run(primary.url, "select pg_reload_conf()");
  const proxy = await startHaProxy(haproxy, [primary.url, standby.url]);
  parts.defer(() => proxy.stop());
  const instance = parts.use(await startInstance({ database: proxy.url, mutant }));
  const opened = parts.move();
  return { primary, standby, proxy, instance, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** What callers saw of a failover. Times are those of `performance.now()`. */
interface Failover {
  /** When the new primary served, and new connections led to it. */
  readonly served: number;
  readonly calls: readonly Call[];
  /** When checks began that allowed what a block denies which the new primary had acknowledged before. */
  readonly wronglyAllowed: readonly number[];
  /** Checks of such pairs that were answered well. */
  readonly denied: number;
}

interface FailoverOptions {
  readonly seed: number;
  /** How long the calls go on afterwards, at least. */
  readonly settleMs: number;
}

/** Promotes the standby of a stage under load. */
export async function runFailover(
  { primary, standby, proxy, instance }: FailoverStage,
  { replace }: Fate,
  { seed, settleMs }: FailoverOptions,
): Promise<Failover> {
  await using parts = new AsyncDisposableStack();
  const load = await startMixedLoad(instance, { seed, callers: 12, rate: 200 });
  parts.defer(() => load.stop());
  const client = openClient(instance);
  parts.defer(() => client.close());
  const [viewer, owner] = [randomUUID(), randomUUID()] as const;
  await client.addUsers([viewer, owner]);
  await load.answered(100);

  const restore = await replace(primary);
  if (restore !== undefined) parts.defer(restore);
  await run(standby.url, "select pg_promote()");
  await proxy.switchOver();
  const served = performance.now();
  // As another instance does that has only connections to the new primary.
  const other = databaseOn(await openPostgresql(standby.url, () => {}));
  parts.defer(() => other.close());
  await other.blocks.block(viewer as UserId, owner as UserId);

  const wronglyAllowed: number[] = [];
  let denied = 0;
  while (performance.now() < served + settleMs || denied === 0) {
    const began = performance.now();
    const answer = await client.act("check", viewer, owner).catch(() => undefined);
    if (answer?.startsWith("ALLOW")) wronglyAllowed.push(began);
    if (answer?.startsWith("DENY")) denied++;
    if (performance.now() > served + giveUpMs) break;
    await setTimeout(askMs);
  }
  return { served, calls: load.calls, wronglyAllowed, denied };
}

/** The promises that a failover must keep. `slack`: how much longer a busy machine may take. */
export function failoverFigures(name: string, failover: Failover, answers: boolean, slack = 1): Figure[] {
  const { served, calls, wronglyAllowed, denied } = failover;
  const failed = calls.filter(({ began, outcome }) => began > served && outcome !== "answered");
  const lastMs = (times: readonly number[]) => Math.max(0, ...times.map((time) => time - served));
  const figure = figuresOf(name);
  return [
    figure("calls", calls.length, { atLeast: 100 }),
    figure("allowed across an earlier block", calls.filter(({ outcome }) => outcome === "wrong").length, {
      atMost: 0,
    }),
    figure("last allowed across a later block, ms", lastMs(wronglyAllowed), {
      atMost: answers ? overMs * slack : 0,
    }),
    figure("later block found", denied, { atLeast: 1 }),
    figure("last failure, ms", lastMs(failed.map(({ began }) => began)), { atMost: overMs * slack }),
  ];
}

async function run(url: string, statement: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query(statement);
  await client.end();
}
