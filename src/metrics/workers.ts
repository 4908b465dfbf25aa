import cluster, { type Worker } from "node:cluster";
import { Gauge, Registry } from "./library.ts";
import type { Metrics, Scrape } from "./metrics.ts";
import { processRegistry } from "./process-metrics.ts";
import { readyName } from "./service-metrics.ts";

type Figures = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>;

/** What a worker is asked. */
interface Question {
  readonly scrape?: number;
}

/** What a worker says of its metrics; other messages have nothing of it. */
interface Answer extends Question {
  /** From now on it answers. */
  readonly measures?: true;
  /** Undefined when they could not be read. */
  readonly figures?: Figures | undefined;
}

/** How long a worker may take to tell its metrics, in milliseconds: less than Prometheus waits. */
const waitMs = 2_000;
/** What only grows, and so must not fall when a worker is gone. */
const growing = new Set(["counter", "histogram", "summary"]);

/** In a worker: tells the process that supervises it the metrics, whenever that asks. */
export function handOver({ registry }: Metrics): void {
  const registries = [registry, processRegistry()];
  // Whoever asked may be gone.
  const tell = (answer: Answer) => process.send?.(answer, undefined, undefined, () => {});
  process.on("message", async ({ scrape }: Question) => {
    if (scrape === undefined) return;
    const read = Promise.all(registries.map((one) => one.getMetricsAsJSON()));
    const figures = await read.then(
      (all) => all.flat() as Figures,
      () => undefined,
    );
    tell({ scrape, figures });
  });
  tell({ measures: true });
}

/** The metrics and the readiness of all workers, in the process that supervises them. */
interface Workers {
  /**
   * Reads the sum of the metrics of all workers. For a worker that has ended, or does not answer in time, the figures of
   * its last answer count.
   */
  readonly render: () => Promise<Scrape>;
  /** Whether there are workers, and each of them answers in time that it is ready. */
  readonly ready: () => Promise<boolean>;
}

/** Collects the figures of all workers; for the process that supervises them. */
export function addUp(): Workers {
  const measuring = new Set<Worker>();
  const latest = new WeakMap<Worker, Figures>();
  const pending = new Map<
    number,
    { readonly worker: Worker; readonly resolve: (answer?: Figures) => void }
  >();
  let ended: Promise<Figures> = Promise.resolve([]);
  let asked = 0;
  let silent = 0;
  const own = new Registry() as Registry;
  new Gauge({
    name: "privacy_control_workers_silent",
    help: "Workers that did not tell their metrics in time.",
    registers: [own],
    collect() {
      this.set(silent);
    },
  });

  cluster.on("message", (worker, { measures, scrape, figures }: Answer) => {
    if (measures) measuring.add(worker);
    if (scrape === undefined) return;
    if (figures !== undefined) latest.set(worker, figures);
    pending.get(scrape)?.resolve(figures);
  });
  cluster.on("exit", (worker) => {
    measuring.delete(worker);
    const last = counted(latest.get(worker));
    ended = ended.then((before) => added([before, last]).getMetricsAsJSON());
    for (const one of pending.values()) if (one.worker === worker) one.resolve();
  });

  const ask = async (worker: Worker) => {
    const scrape = asked++;
    const { promise, resolve } = Promise.withResolvers<Figures | undefined>();
    const giveUp = () => resolve(undefined);
    const timer = setTimeout(giveUp, waitMs);
    pending.set(scrape, { worker, resolve });
    worker.send({ scrape } satisfies Question, (failure) => failure && giveUp());
    const figures = await promise;
    pending.delete(scrape);
    clearTimeout(timer);
    return figures;
  };

  const render = async () => {
    const before = await ended;
    const answers = await Promise.all(
      [...measuring].map(async (worker) => {
        const known = counted(latest.get(worker));
        return { known, figures: await ask(worker) };
      }),
    );
    silent = answers.filter(({ figures }) => figures === undefined).length;
    const all = answers.map(({ figures, known }) => figures ?? known);
    const sum = added([before, ...all, await own.getMetricsAsJSON()]);
    return { contentType: sum.contentType, body: await sum.metrics() };
  };
  const ready = async () => {
    const answers = await Promise.all([...measuring].map(ask));
    return answers.length > 0 && answers.every(isReady);
  };
  return { render, ready };
}

function isReady(figures: Figures = []): boolean {
  const gauge = figures.find(({ name }) => name === readyName) as { values: { value: number }[] } | undefined;
  return gauge?.values[0]?.value === 1;
}

const counted = (figures: Figures = []): Figures => figures.filter(({ type }) => growing.has(String(type)));

const added = (all: readonly Figures[]) => Registry.aggregate([...all]) as Registry;
