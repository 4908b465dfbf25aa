import { LRUCache } from "lru-cache";
import type { ChangeLog, StatePosition, Tick } from "../store/change-log.ts";
import { Semaphore } from "../store/semaphore.ts";
import { type LogPlace, type Page, pageSize } from "./change-ring.ts";

/** The most ticks that are read at once. */
export const maxTicks = 256;
/** With fewer changes than this between the ticks that were read at once, more of them are read next time. */
const fewChanges = pageSize / 4;
/** How many pages of the tables are kept for others who read the same. */
const keptPages = 16;
/** How many followers read the tables at once, and how many may wait for that. */
const tableReads = {
  permits: 4,
  acquireTimeoutMs: 30_000,
  maxWaiting: 4_000,
  failure: "too many followers read the change log",
};

/** Reads the tables for followers that do not find in memory what comes next: together for all who ask for the same. */
export class ChangeLogReader {
  readonly #log: ChangeLog;
  readonly #closing: AbortSignal;
  readonly #pages = new LRUCache<string, Promise<Page | undefined>>({ max: keptPages });
  readonly #tableReads = new Semaphore(tableReads);
  #mergedTicks = 16;
  /** What `storeTick` has begun, and what it begins next. */
  #tickUnderWay: Promise<unknown> = Promise.resolve();
  #nextTick: Promise<Tick> | undefined;

  /** `closing` aborts what is read for several followers. */
  constructor(log: ChangeLog, closing: AbortSignal) {
    this.#log = log;
    this.#closing = closing;
  }

  /**
   * Reads the changes that come after a place, up to the tick `head` at most; undefined when there are none yet. Fails as
   * `ChangeLog.read` does.
   */
  async read(place: LogPlace, head: Tick, signal: AbortSignal): Promise<Page | undefined> {
    const key = keyOf(place);
    let reading = this.#pages.get(key);
    if (reading === undefined) {
      reading = this.#withTables(() => this.#readTables(place, head), this.#closing);
      this.#pages.set(key, reading);
      const forget = () => {
        if (this.#pages.peek(key) === reading) this.#pages.delete(key);
      };
      reading.then((page) => page ?? forget(), forget);
    }
    return untilAborted(reading, signal);
  }

  async #readTables(place: LogPlace, head: Tick): Promise<Page | undefined> {
    const to = place.within?.to ?? (await this.#endOfBatch(place.from, head));
    if (to === undefined) return undefined;
    const page = await this.readPage(place.from, to, place.within?.version ?? 0n, to.at, this.#closing);
    if (!page.complete) this.#mergedTicks = Math.max(1, this.#mergedTicks >> 1);
    else if (page.changes.length < fewChanges) this.#mergedTicks = Math.min(maxTicks, this.#mergedTicks * 2);
    return page;
  }

  /**
   * The tick up to which to read from an earlier one: not beyond the head, so that the reader comes back to the ring; undefined
   * when there is none yet.
   */
  async #endOfBatch(from: Tick, head: Tick): Promise<Tick | undefined> {
    const { ticks } = await this.#log.ticksAfter(from, this.#mergedTicks, this.#closing);
    return ticks.findLast(({ id }) => id <= head.id);
  }

  /** Reads the first changes after a version between two ticks. `through`: when all up to `to` are read. */
  async readPage(from: Tick, to: Tick, after: bigint, through: bigint, signal: AbortSignal): Promise<Page> {
    const changes = await this.#log.read(from, to, after, pageSize, signal);
    const last = changes.at(-1);
    return changes.length < pageSize || last === undefined
      ? { changes, complete: true, next: { from: to }, through }
      : { changes, complete: false, next: { from, within: { to, version: last.version } }, through: from.at };
  }

  /** Reads a page of the state: see `ChangeLog.readState`. */
  readState(after: StatePosition | undefined, signal: AbortSignal) {
    return this.#withTables(() => this.#log.readState(after, pageSize, signal), signal);
  }

  /**
   * Stores a tick that sees everything that was read before the call: one for all who ask while another one is being stored,
   * since many snapshots may end at once.
   */
  storeTick(signal: AbortSignal): Promise<Tick> {
    if (this.#nextTick === undefined) {
      const storing = this.#tickUnderWay.then(() => {
        // A call from now on needs a later one.
        this.#nextTick = undefined;
        return this.#forceTick();
      });
      this.#nextTick = storing;
      this.#tickUnderWay = storing.catch(() => {});
    }
    return untilAborted(this.#nextTick, signal);
  }

  async #forceTick(): Promise<Tick> {
    for (;;) {
      const tick = await this.#log.tick({ force: true }, this.#closing);
      if (tick !== undefined) return tick;
    }
  }

  /** Forgets what was read of a history that was lost. */
  forget(): void {
    this.#pages.clear();
  }

  async #withTables<T>(read: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#tableReads.acquire(signal);
    try {
      return await read();
    } finally {
      this.#tableReads.release();
    }
  }
}

function keyOf({ from, within }: LogPlace): string {
  const end = within === undefined ? "" : `${within.to.id} ${within.to.nonce} ${within.version}`;
  return `${from.id} ${from.nonce} ${end}`;
}

/** What a promise resolves to, unless the signal aborts before. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
