import type { Logger } from "pino";
import { overloaded, PrivacyError } from "../domain/errors.ts";
import type { ChangeLog, StatePosition, Tick, TickName } from "../store/change-log.ts";
import type { Database } from "../store/database.ts";
import type { LogPosition } from "./change-cursor.ts";
import { ChangeLogReader, maxTicks } from "./change-log-reader.ts";
import { ChangeRing, isSame, type LogPlace, type Page } from "./change-ring.ts";
import { WakeUps } from "./wake-ups.ts";

/** How often the log is read, in milliseconds. */
export interface FeedIntervals {
  /** While somebody follows it. */
  readonly followed: number;
  /** Otherwise: ticks must exist for those who come later. */
  readonly idle: number;
}

/** The intervals for a kind of database: a statement takes longer in the embedded one, and other calls wait for it. */
export function feedIntervals(kind: Database["kind"]): FeedIntervals {
  return { followed: kind === "embedded" ? 250 : 100, idle: 1_000 };
}

/** The longest pause after a delivery to many followers, in milliseconds. */
const maxDeliveryPauseMs = 1_000;

/** The most who follow the log at once. */
const maxFollowers = 2_000;
/** The most snapshots under way at once: each keeps a page that its follower has not taken. */
const maxSnapshots = 100;

/** A follower of the log, as far as the feed has to know it. */
export interface Following {
  /** Up to when the follower has received everything: in microseconds since 1970. */
  readonly through: bigint;
  /** Whether a snapshot is under way. */
  readonly isInSnapshot: boolean;
}

/**
 * Reads the change log for all who follow it at this instance. One loop reads what is new, once, into a ring; a follower
 * that has fallen behind the ring reads the tables.
 */
export class ChangeFeed {
  readonly #log: ChangeLog;
  readonly #intervals: FeedIntervals;
  readonly #logger: Logger;
  readonly #ring = new ChangeRing();
  readonly #reader: ChangeLogReader;
  readonly #followers = new Set<Following>();
  readonly #news = new WakeUps();
  readonly #polled = new WakeUps();
  readonly #closing = new AbortController();
  #head: Tick;
  #through: bigint;
  #readAt = performance.now();
  /** How many polls have begun, and the last one that ended well, with what the clock of the database showed in it. */
  #polls = 0;
  #lastPoll: { readonly number: number; readonly now: bigint } | undefined;
  /** How long the processor worked when the followers were woken the last time: most of it is their work. */
  #deliveryMs = 0;
  #isFailing = false;
  /** Ends the pause before the next poll. */
  #wake = () => {};
  #isWanted = false;
  readonly #ended: Promise<void>;

  private constructor(log: ChangeLog, head: Tick, intervals: FeedIntervals, logger: Logger) {
    this.#log = log;
    this.#head = head;
    this.#through = head.at;
    this.#intervals = intervals;
    this.#logger = logger;
    this.#reader = new ChangeLogReader(log, this.#closing.signal);
    this.#ended = this.#run();
  }

  /** Starts to read a log. Rejects when that cannot be read. */
  static async start(log: ChangeLog, intervals: FeedIntervals, logger: Logger): Promise<ChangeFeed> {
    return new ChangeFeed(log, await log.newestTick(), intervals, logger);
  }

  /** Stops reading. */
  async close(): Promise<void> {
    this.#closing.abort(new PrivacyError("UNAVAILABLE"));
    this.#wake();
    await this.#ended;
  }

  /** Gauge: how long ago the log was last read to its end, in seconds. */
  get ageSeconds(): number {
    return (performance.now() - this.#readAt) / 1_000;
  }

  /** Gauge: how many follow the log. */
  get watchers(): number {
    return this.#followers.size;
  }

  /** Gauge: how far the slowest follower is behind what was read, in seconds. */
  get lagSeconds(): number {
    let oldest = this.#through;
    for (const { through } of this.#followers) if (through < oldest) oldest = through;
    return Number(this.#through - oldest) / 1_000_000;
  }

  /** The end of what was read: a tick that was stored before this moment. */
  get head(): Tick {
    return this.#head;
  }

  /** Whether a tick is the head. */
  isHead(tick: TickName): boolean {
    return isSame(tick, this.#head);
  }

  /** Nothing that was committed before this time is missing in what was read. */
  get through(): bigint {
    return this.#through;
  }

  /** What the clock of the database showed when the log was read last; undefined before. */
  get clock(): bigint | undefined {
    return this.#lastPoll?.now;
  }

  /**
   * Adds a follower, for whom the log is read often, until the result is called. Throws `OVERLOADED` when there are too
   * many, of all or of those with a snapshot under way.
   */
  follow(follower: Following): () => void {
    if (this.#followers.size >= maxFollowers) throw overloaded();
    if (follower.isInSnapshot && this.#snapshots() >= maxSnapshots) throw overloaded();
    this.#followers.add(follower);
    if (this.#followers.size === 1) this.#wake();
    return () => this.#followers.delete(follower);
  }

  /** Waits until the head moves, for `ms` milliseconds at most. Rejects with the signal's reason when it aborts. */
  changed(ms: number, signal: AbortSignal): Promise<void> {
    return this.#news.wait(ms, signal);
  }

  /**
   * Waits until what was committed before now is read, as far as there is a tick after it, or until that fails, for `ms`
   * milliseconds at most. Resolves to what the clock of the database showed meanwhile, in microseconds since 1970; undefined
   * when it was not read.
   */
  async refreshed(ms: number, signal: AbortSignal): Promise<bigint | undefined> {
    const begun = this.#polls;
    this.#isWanted = true;
    this.#wake();
    await this.#polled.wait(ms, signal);
    const last = this.#lastPoll;
    return last !== undefined && last.number > begun ? last.now : undefined;
  }

  /** Finds the ticks of a position. Throws `CURSOR_EXPIRED` and `HISTORY_CHANGED` as `ChangeLog.findTick` does. */
  async find({ from, within }: LogPosition, signal: AbortSignal): Promise<LogPlace> {
    const find = async (name: TickName) => this.#knownTick(name) ?? this.#log.findTick(name, signal);
    return {
      from: await find(from),
      within: within && { to: await find(within.to), version: within.version },
    };
  }

  /**
   * Reads the changes that come next; undefined when there are none yet. Throws `CURSOR_EXPIRED` and `HISTORY_CHANGED` when
   * they are lost, and `UNAVAILABLE` when the tables are needed and cannot be read.
   */
  read(place: LogPlace, signal: AbortSignal): Page | undefined | Promise<Page | undefined> {
    if (place.within === undefined && this.isHead(place.from)) return undefined;
    return this.#ring.read(place) ?? this.#reader.read(place, this.#head, signal);
  }

  /** Reads a page of the state: see `ChangeLog.readState`. */
  readState(after: StatePosition | undefined, signal: AbortSignal) {
    return this.#reader.readState(after, signal);
  }

  /** Stores a tick that sees everything that was read before the call. */
  async storeTick(signal: AbortSignal): Promise<Tick> {
    const tick = await this.#reader.storeTick(signal);
    this.#isWanted = true;
    this.#wake();
    return tick;
  }

  #snapshots(): number {
    let count = 0;
    for (const { isInSnapshot } of this.#followers) if (isInSnapshot) count++;
    return count;
  }

  #knownTick(name: TickName): Tick | undefined {
    return this.isHead(name) ? this.#head : this.#ring.tick(name);
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const begunAt = performance.now();
      const isFollowed = this.#followers.size > 0;
      this.#isWanted = false;
      // A call from now on waits for the next poll.
      const wakePolled = this.#polled.take();
      this.#polls++;
      try {
        await this.#poll(signal);
        this.#report(undefined);
      } catch (failure) {
        if (signal.aborted) break;
        await this.#recover(failure, signal);
      }
      await wakePolled();
      const ms = isFollowed ? this.#intervals.followed : this.#intervals.idle;
      if (!this.#isWanted) await this.#pause(Math.max(begunAt + ms - performance.now(), this.#deliveryMs));
    }
    await this.#news.take()();
    await this.#polled.take()();
  }

  async #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, Math.max(0, ms));
    this.#wake = resolve;
    if (this.#isWanted || this.#closing.signal.aborted) resolve();
    await promise;
    clearTimeout(timer);
    this.#wake = () => {};
  }

  async #poll(signal: AbortSignal): Promise<void> {
    await this.#log.tick({}, signal);
    const from = this.#head;
    const { ticks, through, now } = await this.#log.ticksAfter(from, maxTicks, signal);
    const to = ticks.at(-1);
    if (to !== undefined) {
      if (this.#followers.size === 0) this.#ring.clear();
      else await this.#readBatch(from, to, through, signal);
      this.#head = to;
    }
    this.#through = through;
    this.#lastPoll = { number: this.#polls, now };
    this.#readAt = performance.now();
    this.#deliveryMs = 0;
    if (to !== undefined) await this.#deliver();
    if (ticks.length === maxTicks) this.#isWanted = true;
  }

  /**
   * Wakes the followers. The pause that follows is at least as long as the processor worked meanwhile: half of its time is for
   * other calls.
   */
  async #deliver(): Promise<void> {
    const before = process.cpuUsage();
    await this.#news.take()();
    const { user, system } = process.cpuUsage(before);
    this.#deliveryMs = Math.min((user + system) / 1_000, maxDeliveryPauseMs);
  }

  /** Reads the changes between two ticks into the ring; when they are too many for it, the followers read the tables. */
  async #readBatch(from: Tick, to: Tick, through: bigint, signal: AbortSignal): Promise<void> {
    const pages: Page[] = [];
    for (let place: LogPlace = { from }; !isSame(place.from, to); ) {
      if (pages.length === this.#ring.maxPages) return this.#ring.clear();
      const page = await this.#reader.readPage(from, to, place.within?.version ?? 0n, through, signal);
      pages.push(page);
      place = page.next;
    }
    this.#ring.add({ from, to, pages });
  }

  /** Goes on after a failed poll. */
  async #recover(failure: unknown, signal: AbortSignal): Promise<void> {
    const isLost = failure instanceof PrivacyError && lostReasons.has(failure.reason);
    if (!isLost) return this.#report(failure);
    try {
      this.#logger.warn({ reason: failure.reason }, "the change log has begun a new history");
      this.#head = await this.#log.newestTick(signal);
      this.#ring.clear();
      this.#reader.forget();
      // Every follower finds out by reading on from the tick that it had reached.
      await this.#deliver();
    } catch (again) {
      this.#report(again);
    }
  }

  /** Logs that the log cannot be read, or can be read again; once. */
  #report(failure: unknown): void {
    const isFailing = failure !== undefined && !this.#closing.signal.aborted;
    if (isFailing === this.#isFailing) return;
    this.#isFailing = isFailing;
    if (isFailing) this.#logger.warn({ err: failure }, "the change log cannot be read");
    else this.#logger.info("the change log can be read again");
  }
}

const lostReasons: ReadonlySet<string> = new Set(["CURSOR_EXPIRED", "HISTORY_CHANGED"]);
