import {
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type PrometheusContentType,
  Registry,
} from "@prometheus-io/client";
import type { Listener } from "../http/listen.ts";
import type { PoolStats } from "../store/connection.ts";
import { CallMetrics } from "./call-metrics.ts";
import { type GraphMetricsOptions, type RelationshipGraphStats, showGraph } from "./graph-metrics.ts";

/** A scrape, in Prometheus' text format. */
export interface Scrape {
  readonly contentType: string;
  readonly body: string;
}

/** Batches the checks of many calls into few statements. */
interface CheckBatching {
  /** Calls that wait for their statement to be sent. */
  readonly waiting: number;
}

/** Follows the change log, for those who watch it. */
interface ChangeFollowing {
  /** Calls of `WatchChanges` in progress. */
  readonly watchers: number;
  /** How far the slowest of them is behind what was read of the log, in seconds. */
  readonly lagSeconds: number;
  /** How long ago it was last known that nothing older is missing of what was read, in seconds. */
  readonly ageSeconds: number;
}

/** The state of the change log. Ages are in seconds; 0 when there is nothing that has one. */
interface ChangeLogState {
  /** Since the newest tick was stored. An idle service stores none. */
  readonly tickAgeSeconds: number;
  /** Since the oldest change that is kept. */
  readonly oldestChangeSeconds: number;
  /** For how long the oldest transaction that changes something is known to be open, in any database of the server. */
  readonly openTransactionSeconds: number;
  /** Erased users whose rows are still to be scrubbed from the log. */
  readonly erasures: number;
  /** For how long changes are to be kept. */
  readonly retentionSeconds: number;
}

/** The connections of a listener. */
type ListenerStats = Pick<Listener, "connections" | "refusedConnections" | "evictedConnections">;

type ByName<Value> = Readonly<Record<string, Value>>;

/** The metrics of one service. Other parts report events to them or are read at each scrape; `render` reads them all. */
export class Metrics {
  readonly #registry = new Registry<PrometheusContentType>();
  readonly calls = new CallMetrics(this.#registry);
  readonly #process = processRegistry();
  readonly #poolWaits = new Histogram({
    name: "privacy_control_database_wait_seconds",
    help: "Time that a caller waited for a connection of the pool, in seconds.",
    labelNames: ["pool"],
    buckets: [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2],
    registers: [this.#registry],
  });
  readonly #batchPairs = new Histogram({
    name: "privacy_control_check_batch_pairs",
    help: "Pairs of users in one statement of decisions.",
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_000],
    registers: [this.#registry],
  });

  readonly #missedWrites = new Counter({
    name: "privacy_control_consistency_tokens_unmet_total",
    help: "Consistency tokens of writes that the database does not have: they were lost, or are older than the change log.",
    registers: [this.#registry],
  });

  /** Reads every metric. */
  readonly render = async (): Promise<Scrape> => {
    const texts = await Promise.all([this.#registry.metrics(), this.#process.metrics()]);
    return { contentType: this.#registry.contentType, body: texts.join("\n") };
  };

  /** A connection of a pool was waited for. */
  readonly waitedForConnection = (pool: string, seconds: number): void => {
    this.#poolWaits.observe({ pool }, seconds);
  };

  /** A statement of decisions is sent for a number of pairs. */
  readonly sentChecks = (pairs: number): void => {
    this.#batchPairs.observe(pairs);
  };

  /** A caller has the consistency token of a write that the database does not have. */
  readonly missedWrite = (): void => {
    this.#missedWrites.inc();
  };

  /** Shows the batching of checks. */
  showChecks(checks: CheckBatching): void {
    this.#gauge(
      "checks_waiting",
      "Calls whose checks wait for a statement to be sent.",
      () => checks.waiting,
    );
  }

  /** Shows how the change log is followed. */
  showChanges(changes: ChangeFollowing): void {
    this.#gauge("change_watchers", "Calls that follow the change log.", () => changes.watchers);
    this.#gauge(
      "change_watcher_lag_seconds",
      "How far the slowest watcher is behind what was read of the change log, in seconds.",
      () => changes.lagSeconds,
    );
    this.#gauge(
      "change_feed_age_seconds",
      "Time since the change log was last read to its end, in seconds.",
      () => changes.ageSeconds,
    );
  }

  /** Shows the relationship graph. */
  showGraph(graph: RelationshipGraphStats, options: Omit<GraphMetricsOptions, "registry">): void {
    showGraph(graph, { ...options, registry: this.#registry });
  }

  /** Shows the state of the change log. */
  showChangeLog(state: () => ChangeLogState): void {
    const gauge = (name: string, help: string, read: (state: ChangeLogState) => number) =>
      this.#gauge(`change_${name}`, help, () => read(state()));
    gauge(
      "tick_age_seconds",
      "Time since the newest tick of the change log was stored, in seconds.",
      ({ tickAgeSeconds }) => tickAgeSeconds,
    );
    gauge(
      "oldest_seconds",
      "Age of the oldest change in the change log, in seconds.",
      ({ oldestChangeSeconds }) => oldestChangeSeconds,
    );
    gauge(
      "retention_seconds",
      "For how long changes are to be kept, in seconds.",
      ({ retentionSeconds }) => retentionSeconds,
    );
    gauge(
      "open_transaction_seconds",
      "For how long the oldest transaction of the server that changes something is known to be open, in seconds.",
      ({ openTransactionSeconds }) => openTransactionSeconds,
    );
    gauge(
      "erasures_waiting",
      "Erased users whose rows are still to be scrubbed from the change log.",
      ({ erasures }) => erasures,
    );
  }

  /** Shows how long ago each task of the upkeep last succeeded, in seconds. */
  showUpkeep(ages: () => [task: string, seconds: number][]): void {
    this.#gaugeBy(
      "task",
      "upkeep_age_seconds",
      "Time since the upkeep last succeeded with a task, in seconds.",
      ages,
    );
  }

  /** Shows the pools of connections to the database. */
  showPools(pools: () => readonly PoolStats[]): void {
    const gauge = (name: string, help: string, read: (pool: PoolStats) => number) =>
      this.#gaugeBy("pool", `database_${name}`, help, () => pools().map((pool) => [pool.name, read(pool)]));
    gauge("connections_max", "The most connections of the pool.", ({ max }) => max);
    gauge("connections_open", "Open connections of the pool.", ({ open }) => open);
    gauge("connections_used", "Connections of the pool in use.", ({ open, idle }) => open - idle);
    gauge("waiting", "Statements and transactions that wait for a connection.", ({ waiting }) => waiting);
  }

  /** Shows the connections of the named listeners. */
  showListeners(listeners: ByName<ListenerStats>): void {
    const all = Object.entries(listeners);
    this.#gaugeBy("listener", "connections", "Open connections of clients.", () =>
      all.map(([name, listener]) => [name, listener.connections()]),
    );
    new Counter({
      name: "privacy_control_refused_connections_total",
      help: "Connections of clients refused because too many were open.",
      labelNames: ["listener"],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const [name, listener] of all) this.inc({ listener: name }, listener.refusedConnections());
      },
    });
    new Counter({
      name: "privacy_control_evicted_connections_total",
      help: "Connections of clients closed, by reason: idle (to make room for a new one) or memory (that they used).",
      labelNames: ["listener", "reason"],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const [name, listener] of all)
          for (const [reason, count] of Object.entries(listener.evictedConnections()))
            this.inc({ listener: name, reason }, count);
      },
    });
  }

  /** Shows how many calls the limiters of the named listeners admit at once now. */
  showConcurrencyLimits(limiters: ByName<{ readonly limit: number }>): void {
    this.#gaugeBy(
      "listener",
      "concurrency_limit",
      "The most calls in flight that the adaptive concurrency limit admits now.",
      () => Object.entries(limiters).map(([name, { limit }]) => [name, limit]),
    );
  }

  /** Shows whether the service is ready. */
  showReadiness(ready: () => boolean): void {
    this.#gauge("ready", "1 while the service is ready for calls, else 0.", () => (ready() ? 1 : 0));
  }

  /** A gauge that is read at each scrape. */
  #gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name: `privacy_control_${name}`,
      help,
      registers: [this.#registry],
      collect() {
        this.set(read());
      },
    });
  }

  /** A gauge with a label, all of whose values are read at each scrape. */
  #gaugeBy(label: string, name: string, help: string, read: () => [value: string, number][]): void {
    new Gauge({
      name: `privacy_control_${name}`,
      help,
      labelNames: [label],
      registers: [this.#registry],
      collect() {
        for (const [value, number] of read()) this.set({ [label]: value }, number);
      },
    });
  }
}

let ofProcess: Registry<PrometheusContentType> | undefined;

/** The metrics of this process, by the names that every Prometheus client uses. Made once, since they need timers. */
function processRegistry(): Registry<PrometheusContentType> {
  if (ofProcess === undefined) {
    ofProcess = new Registry();
    collectDefaultMetrics({ register: ofProcess });
  }
  return ofProcess;
}
