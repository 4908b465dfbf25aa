import type { ChangeLogFigures } from "../store/change-log-figures.ts";
import type { UpkeepTask } from "./upkeep.ts";

const intervalMs = 10_000;

/** Reads the figures of the change log now and then, so that a scrape needs no statement. */
export class ChangeLogMonitor {
  readonly #read: (signal: AbortSignal) => Promise<ChangeLogFigures>;
  readonly #retentionSeconds: number;
  #figures: ChangeLogFigures | undefined;
  #readAt = 0;
  /** The oldest open transaction that was seen, and when it was seen first. */
  #open: { readonly transaction: string; readonly since: number } | undefined;

  constructor(read: (signal: AbortSignal) => Promise<ChangeLogFigures>, retentionSeconds: number) {
    this.#read = read;
    this.#retentionSeconds = retentionSeconds;
  }

  /** The task of the upkeep that reads the figures. */
  readonly task: UpkeepTask = {
    name: "figures",
    intervalMs,
    run: async (signal) => {
      this.#figures = await this.#read(signal);
      this.#readAt = performance.now();
      const { openTransaction } = this.#figures;
      if (openTransaction === null) this.#open = undefined;
      else if (openTransaction !== this.#open?.transaction)
        this.#open = { transaction: openTransaction, since: this.#readAt };
      return false;
    },
  };

  /** Gauge: the state as it was read last, with the ages of now. */
  state() {
    const now = performance.now();
    const { tickAge = 0, oldestChangeAge = 0, erasures = 0 } = this.#figures ?? {};
    const sinceRead = (now - this.#readAt) / 1_000;
    const ageNow = (age: number) => (age === 0 ? 0 : age + sinceRead);
    return {
      tickAgeSeconds: ageNow(tickAge),
      oldestChangeSeconds: ageNow(oldestChangeAge),
      retentionSeconds: this.#retentionSeconds,
      openTransactionSeconds: this.#open === undefined ? 0 : (now - this.#open.since) / 1_000,
      erasures,
    };
  }
}
