import { setTimeout } from "node:timers/promises";
import { type FreezingProxy, startFreezingProxy } from "../../support/freezing-proxy.ts";
import { decisionStatements, untilGraphReady } from "../../support/graph.ts";
import { scrape } from "../../support/scrape.ts";
import { startThrowawayServer, type ThrowawayServer } from "../../support/throwaway-server.ts";
import { type Instance, startInstance } from "../support/instance.ts";
import { type Call, startMixedLoad } from "../support/mixed-load.ts";
import type { MutantName } from "../support/mutants.ts";
import { type Figure, figuresOf, percentile } from "../support/report.ts";
import { type Fault, readyFaults } from "./faults.ts";

/** As docs/resilience.md promises. */
const connections = 25;
/** The service may take this long to find out. */
const findMs = 1_000;
const sampleMs = 25;

export interface OutageOptions {
  readonly seed: number;
  /** How long the database is away. */
  readonly lastsMs: number;
  /** How long the load goes on afterwards, at least. */
  readonly settleMs: number;
}

/** An instance, and its database behind a proxy that counts connections. */
interface OutageStage extends AsyncDisposable {
  readonly server: ThrowawayServer;
  readonly proxy: FreezingProxy;
  readonly instance: Instance;
}

export async function openStage(mutant?: MutantName): Promise<OutageStage> {
  await using parts = new AsyncDisposableStack();
  const server = await startThrowawayServer();
  parts.defer(() => server.stop());
  const proxy = await startFreezingProxy(server.url);
  parts.defer(() => proxy.close());
  const instance = parts.use(await startInstance({ database: proxy.url, mutant }));
  const opened = parts.move();
  return { server, proxy, instance, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** What an instance and its callers went through. */
interface Outage {
  /** When it began and ended, on the clock of `performance.now()`. */
  readonly began: number;
  readonly over: number;
  readonly calls: readonly Call[];
  /** After how many milliseconds `/readyz` said no; NaN when it never did. */
  readonly unreadyMs: number;
  /** The share of probes of `/readyz` that failed. */
  readonly unreadyShare: number;
  /** How often `/healthz` was not answered well. */
  readonly unhealthy: number;
  /** The most connections to the database at any time. */
  readonly connections: number;
  /** How often the graph was brought up to date, and loaded since the instance was started. */
  readonly graph: { readonly statements: number; readonly loads: number };
}

/** Takes the database of an instance under load away and brings it back. */
export async function runOutage(
  { server, proxy, instance }: OutageStage,
  fault: Fault,
  options: OutageOptions,
): Promise<Outage> {
  await using parts = new AsyncDisposableStack();
  await untilGraphReady(instance);
  const before = await decisionStatements(instance);
  const load = await startMixedLoad(instance, { seed: options.seed, callers: 24, rate: 500 });
  parts.defer(() => load.stop());
  await load.answered(200);

  const samples = new AbortController();
  let most = 0;
  let unhealthy = 0;
  let looks = 0;
  let unready = 0;
  let unreadyAt = Number.NaN;
  const sampling = [
    sample(samples.signal, async () => {
      most = Math.max(most, proxy.open());
      if (!(await instance.isGood("/healthz"))) unhealthy++;
    }),
    sample(samples.signal, async () => {
      looks++;
      if (await instance.isGood("/readyz")) return;
      if (unready++ === 0) unreadyAt = performance.now();
    }),
  ];
  const restore = await fault(server, instance);
  const began = performance.now();
  await setTimeout(options.lastsMs);
  await restore();
  const over = performance.now();
  await load.answered(200);
  await setTimeout(Math.max(0, over + options.settleMs - performance.now()));
  samples.abort();
  await Promise.all(sampling);
  await untilGraphReady(instance);
  const { graph } = await decisionStatements(instance);
  const loads = (await scrape(instance.adminUrl)).value("privacy_control_graph_loads_total") ?? 0;
  return {
    began,
    over,
    calls: load.calls,
    unreadyMs: Math.max(0, unreadyAt - began),
    unreadyShare: unready / looks,
    unhealthy,
    connections: most,
    graph: { statements: graph - before.graph, loads },
  };
}

/** What is promised of an outage. `slack`: how much longer a machine that has much else to do may take. */
export function outageFigures(name: string, outage: Outage, slack = 1): Figure[] {
  const { began, over, calls, unreadyMs, unreadyShare, unhealthy } = outage;
  const found = began + findMs;
  const during = calls.filter((call) => call.ended > found && call.began < over);
  const count = (of: readonly Call[], outcome: Call["outcome"]) =>
    of.filter((call) => call.outcome === outcome).length;
  const failedAfter = calls.filter((call) => call.began > over && call.outcome !== "answered");
  const backMs = Math.max(0, ...failedAfter.map((call) => call.began - over));
  const took = during.map((call) => call.ended - Math.max(call.began, found));
  const figure = figuresOf(name);
  return [
    figure("calls meanwhile", during.length, { atLeast: 10 }),
    readyFaults.has(name)
      ? figure("of these unavailable", count(during, "unavailable"), {
          atMost: slack === 1 ? 0 : during.length / 10,
        })
      : figure("of these unavailable", count(during, "unavailable"), { atLeast: 1 }),
    figure("allowed across a block", count(calls, "wrong"), { atMost: 0 }),
    figure("failed in another way", count(calls, "unexpected"), { atMost: 0 }),
    figure("p99 of all meanwhile, ms", percentile(took, 99), { atMost: 250 * slack }),
    readyFaults.has(name)
      ? figure("share of looks not ready", unreadyShare, { atMost: slack === 1 ? 0 : 0.5 })
      : figure("not ready after, ms", unreadyMs, { atMost: 2_000 * slack }),
    figure("times not alive", unhealthy, { atMost: 0 }),
    figure("most connections", outage.connections, { atMost: connections }),
    figure("statements for decisions of the graph", outage.graph.statements, { atLeast: 1 }),
    figure("loads of the graph", outage.graph.loads, { atMost: 1 }),
    figure("last failure after the end, ms", backMs, { atMost: 2_000 * slack }),
  ];
}

async function sample(signal: AbortSignal, look: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await look();
    await setTimeout(sampleMs);
  }
}
