import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { Database } from "../store/database.ts";

/** Work on the tables that every instance repeats. Several instances may do it at once. */
export interface UpkeepTask {
  readonly name: string;
  /** From the end of a run to the beginning of the next one. */
  readonly intervalMs: number;
  /** Does a small part of the work and holds no lock for long. Resolves to whether more of it is due already. */
  run(signal: AbortSignal): Promise<boolean>;
}

/** The tasks of the service. `retentionHours`: for how long changes are kept. */
export function upkeepTasks(
  {
    expiry,
    users,
    changeLogUpkeep,
    idempotencyKeys,
  }: Pick<Database, "expiry" | "users" | "changeLogUpkeep" | "idempotencyKeys">,
  retentionHours: number,
): UpkeepTask[] {
  return [
    {
      name: "retention",
      intervalMs: 60_000,
      run: (signal) => changeLogUpkeep.retain(retentionHours, signal),
    },
    { name: "scrubbing", intervalMs: 2_000, run: (signal) => changeLogUpkeep.scrubErased(signal) },
    { name: "expiry", intervalMs: 1_000, run: async (signal) => (await expiry.sweepExpired(signal)) > 0 },
    {
      name: "idempotency",
      intervalMs: 60_000,
      run: async (signal) => (await idempotencyKeys.sweepLapsed(signal)) > 0,
    },
    { name: "erasures", intervalMs: 2_000, run: (signal) => users.resumeErasures(signal) },
  ];
}

const shortestPauseMs = 10;
const longestStartMs = 1_000;

/**
 * Runs tasks, one at a time, each in its interval. After a run that left work the task pauses for as long as the run took, so
 * that at most half of the database's time is taken. A failure is logged once, until another one or a success.
 */
export class Upkeep {
  readonly #log: Pick<Logger, "warn" | "info">;
  readonly #stopping = new AbortController();
  readonly #failures = new Map<UpkeepTask, string>();
  /** When the last run of each task succeeded, or the loop was started. */
  readonly #succeededAt: Map<string, number>;
  readonly #running: Promise<void>;

  /** Starts at once. The first run of a task begins within a second, at another moment than that of other instances. */
  constructor(tasks: readonly UpkeepTask[], log: Pick<Logger, "warn" | "info">) {
    this.#log = log;
    const now = performance.now();
    this.#succeededAt = new Map(tasks.map(({ name }) => [name, now]));
    this.#running = this.#repeat(tasks);
  }

  /** Gauge: how long ago each task last succeeded, in seconds. */
  ages(): [task: string, seconds: number][] {
    const now = performance.now();
    return [...this.#succeededAt].map(([task, at]) => [task, (now - at) / 1_000]);
  }

  /** Gives up the run under way, and resolves when it has ended. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #repeat(tasks: readonly UpkeepTask[]): Promise<void> {
    const { signal } = this.#stopping;
    const turns = tasks.map((task) => {
      const firstMs = Math.min(task.intervalMs, longestStartMs) * Math.random();
      return { task, at: performance.now() + firstMs };
    });
    while (!signal.aborted) {
      const [next] = turns.sort((a, b) => a.at - b.at);
      if (next === undefined) return;
      // A pause that ends by the abort is the end of the loop.
      await delay(Math.max(0, next.at - performance.now()), undefined, { signal, ref: false }).catch(
        () => {},
      );
      if (signal.aborted) return;
      const begunAt = performance.now();
      const hasMore = await this.#attempt(next.task);
      const endedAt = performance.now();
      const pauseMs = hasMore ? Math.max(shortestPauseMs, endedAt - begunAt) : next.task.intervalMs;
      next.at = endedAt + pauseMs;
    }
  }

  /** Returns whether the task has more to do. */
  async #attempt(task: UpkeepTask): Promise<boolean> {
    const { signal } = this.#stopping;
    try {
      const hasMore = await task.run(signal);
      this.#succeededAt.set(task.name, performance.now());
      if (this.#failures.delete(task)) this.#log.info({ task: task.name }, "upkeep succeeds again");
      return hasMore;
    } catch (failure) {
      if (signal.aborted) return false;
      const text = describe(failure);
      if (this.#failures.get(task) !== text)
        this.#log.warn({ task: task.name, err: failure }, "upkeep failed");
      this.#failures.set(task, text);
      return false;
    }
  }
}

function describe(failure: unknown): string {
  return failure instanceof Error && failure.cause !== undefined
    ? `${failure}: ${describe(failure.cause)}`
    : String(failure);
}
