import type { Logger } from "pino";

/** What was measured in one window of time. Times are in milliseconds. */
export interface LoadWindow {
  readonly elapsedMs: number;
  /** Calls that were answered. */
  readonly answered: number;
  /** Those of them that took longer than `latencyTargetMs`. */
  readonly late: number;
  /** The mean delay of the event loop. */
  readonly loopDelayMs: number;
  /** Whether a call was rejected. */
  readonly rejected: boolean;
}

/** A call that takes longer is late. Callers wait about a second; work must be done well before. */
const latencyTargetMs = 250;
/** An event loop that is delayed longer has too many calls in flight. */
const maxLoopDelayMs = 25;
/** The delay of the event loop at which a limit that was lowered settles. */
const loopDelayTargetMs = 10;
/** The lowest limit: fewer calls in flight leave connections to the database idle. */
const minLimit = 16;
/** A window with fewer answers is too small a sample to find an overload. */
const minAnswers = 16;
/** The limit falls after this many overloaded windows in a row, so that a short burst does not lower it. */
const overloadedWindows = 3;
/** The factors of the limit's growth in a window that is not overloaded. */
const growth = { whileRejecting: 1.1, otherwise: 2 };

/**
 * How many calls may be in flight, adjusted after each window of time. When most calls are late, the limit becomes the
 * number that is answered within the latency target (Little's law). When the event loop is delayed, the limit falls in
 * proportion. In every other window it grows, whether or not calls arrive.
 */
export class ConcurrencyLimit {
  readonly #maximum: number;
  #value: number;
  #overloadedInARow = 0;

  /** Begins with the maximum. */
  constructor(maximum: number) {
    this.#maximum = maximum;
    this.#value = maximum;
  }

  get value(): number {
    return this.#value;
  }

  /**
   * Adjusts the limit to a window. Returns false when the window has too few answers although calls were rejected: then
   * whoever measures must prolong it.
   */
  adjust({ elapsedMs, answered, late, loopDelayMs, rejected }: LoadWindow): boolean {
    if (answered < minAnswers && rejected) return false;
    const allowedMs = this.#value < this.#maximum ? loopDelayTargetMs : maxLoopDelayMs;
    const callsLate = answered >= minAnswers && late * 2 > answered;
    const loopLate = answered >= minAnswers && loopDelayMs > allowedMs;
    this.#overloadedInARow = callsLate || loopLate ? this.#overloadedInARow + 1 : 0;
    if (this.#overloadedInARow === 0)
      this.#set(this.#value * (rejected ? growth.whileRejecting : growth.otherwise) + 1);
    else if (this.#overloadedInARow >= overloadedWindows)
      this.#set(
        Math.min(
          callsLate ? (answered * latencyTargetMs) / elapsedMs : this.#value,
          loopLate ? (this.#value * loopDelayTargetMs) / loopDelayMs : this.#value,
        ),
      );
    return true;
  }

  #set(value: number): void {
    this.#value = Math.min(this.#maximum, Math.max(minLimit, Math.floor(value)));
  }
}

/** How often the delay of the event loop is sampled, in milliseconds. */
const sampleMs = 10;

/**
 * The mean delay of the event loop since `restart`. Samples as long as the process lives; keeps no process alive.
 * `monitorEventLoopDelay` of Node leaves out, after a reset, the sample that follows a long turn.
 */
export class EventLoopDelay {
  #sampledAt = performance.now();
  #restartedAt = this.#sampledAt;
  #samples = 0;
  #sumMs = 0;

  constructor() {
    setInterval(() => {
      const now = performance.now();
      this.#sumMs += now - Math.max(this.#sampledAt, this.#restartedAt);
      this.#samples += 1;
      this.#sampledAt = now;
    }, sampleMs).unref();
  }

  get ms(): number {
    // Within one long turn there is no sample.
    const intervalMs =
      this.#samples === 0 ? performance.now() - this.#restartedAt : this.#sumMs / this.#samples;
    return Math.max(0, intervalMs - sampleMs);
  }

  restart(): void {
    this.#restartedAt = performance.now();
    this.#samples = 0;
    this.#sumMs = 0;
  }
}

/** The number of rejected calls is logged this often at most. */
const logEveryMs = 1_000;
/** How often the limit is adjusted. */
const windowMs = 100;

/**
 * Admission control of a listener: bounds the calls in flight, so that those it admits are answered in time. All
 * others are rejected at once; none is queued. A call is in flight while its token is checked and while its handler
 * runs. It is not while its client has yet to send the request or to take the response: slow clients hold no slot.
 */
export class AdaptiveConcurrencyLimiter {
  readonly #limit: ConcurrencyLimit;
  readonly #log: Logger;
  #inFlight = 0;
  /** Calls that were admitted in this turn of the event loop and have not begun. */
  #reserved = 0;
  /** Answered calls of this window, and how many of them were late. */
  #answered = 0;
  #late = 0;
  /** Calls rejected since the limit was adjusted, and since they were logged. */
  #rejected = 0;
  #unlogged = 0;

  /** At most `maximum` calls in flight, 0 for any number. Keeps no process alive. */
  constructor(maximum: number, log: Logger) {
    this.#limit = new ConcurrencyLimit(maximum === 0 ? Number.POSITIVE_INFINITY : maximum);
    this.#log = log;
    if (maximum !== 0) this.#measure();
  }

  /** The most calls in flight now. */
  get limit(): number {
    return this.#limit.value;
  }

  /**
   * Reserves a slot for a call that arrives now. Returns false when no slot is free, or when a queue that the call needs
   * is saturated: then the call must be rejected. A call that does not begin within this turn of the event loop loses
   * its reservation.
   */
  tryAcquire(isQueueSaturated = false): boolean {
    if (!isQueueSaturated && this.#inFlight + this.#reserved < this.#limit.value) {
      if (++this.#reserved === 1) setImmediate(() => (this.#reserved = 0));
      return true;
    }
    this.#rejected += 1;
    if (++this.#unlogged === 1) setTimeout(() => this.#report(), logEveryMs).unref();
    return false;
  }

  /** Begins the work of an admitted call. Returns the time, in milliseconds. */
  begin(): number {
    this.#inFlight += 1;
    if (this.#reserved > 0) this.#reserved -= 1;
    return performance.now();
  }

  /**
   * Ends the work that `begin` began. `begunAt` is the time that `begin` returned, and is given for calls that were
   * answered: only their latency counts. The latency of a failed call says nothing about the load.
   */
  release(begunAt?: number): void {
    this.#inFlight -= 1;
    if (begunAt === undefined) return;
    this.#answered += 1;
    if (performance.now() - begunAt > latencyTargetMs) this.#late += 1;
  }

  /**
   * Counts a call as in flight while `work` runs, for `mostMs` milliseconds at most: what takes longer waits for
   * something else. Its latency does not count.
   */
  async run<T>(work: () => Promise<T>, mostMs?: number): Promise<T> {
    this.begin();
    let isHeld = true;
    const release = () => {
      if (isHeld) this.release();
      isHeld = false;
    };
    const timer = mostMs === undefined ? undefined : setTimeout(release, mostMs);
    try {
      return await work();
    } finally {
      clearTimeout(timer);
      release();
    }
  }

  /** Gives up the slot of a call while the call waits for its client. */
  async yieldSlot<T>(wait: () => Promise<T>): Promise<T> {
    this.release();
    try {
      return await wait();
    } finally {
      this.begin();
    }
  }

  #measure(): void {
    const delay = new EventLoopDelay();
    let startedAt = performance.now();
    setInterval(() => {
      const now = performance.now();
      const rejected = this.#rejected > 0;
      this.#rejected = 0;
      const [answered, late] = [this.#answered, this.#late];
      const elapsedMs = now - startedAt;
      if (!this.#limit.adjust({ elapsedMs, answered, late, loopDelayMs: delay.ms, rejected })) return;
      startedAt = now;
      this.#answered = 0;
      this.#late = 0;
      delay.restart();
    }, windowMs).unref();
  }

  #report(): void {
    this.#log.warn({ rejected: this.#unlogged }, "calls were rejected because the service is overloaded");
    this.#unlogged = 0;
  }
}
