import type { Interceptor } from "@connectrpc/connect";
import type { Logger } from "pino";
import { ConcurrencyLimit, latencyTargetMs } from "./concurrency-limit.ts";
import { watchLoopLag } from "./event-loop-delay.ts";

/** The number of refused calls is logged this often at most. */
const logEveryMs = 1_000;
/** How often the limit is adjusted. */
const windowMs = 100;

/**
 * Admission control of a listener: bounds the calls in flight, so that those it admits are answered in time. All
 * others are refused at once; none is queued. A call is in flight while its token is checked and while its handler
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
  /** Calls refused since the limit was adjusted, and since they were logged. */
  #refused = 0;
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
   * Reserves a slot for a call that arrives now. False when no slot is free, or when a queue that the call needs
   * `isFull`: then the call must be refused. A call that does not begin within this turn of the event loop loses its
   * reservation.
   */
  tryAcquire(isFull = false): boolean {
    if (!isFull && this.#inFlight + this.#reserved < this.#limit.value) {
      if (++this.#reserved === 1) setImmediate(() => (this.#reserved = 0));
      return true;
    }
    this.#refused += 1;
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

  /** Counts the handlers of unary calls; those of streams mostly wait for their clients. */
  readonly interceptor: Interceptor = (next) => async (request) => {
    if (request.stream) return next(request);
    const begunAt = this.begin();
    let answered: number | undefined;
    try {
      const response = await next(request);
      answered = begunAt;
      return response;
    } finally {
      this.release(answered);
    }
  };

  #measure(): void {
    const lag = watchLoopLag();
    let startedAt = performance.now();
    setInterval(() => {
      const now = performance.now();
      const refused = this.#refused > 0;
      this.#refused = 0;
      const [answered, late] = [this.#answered, this.#late];
      const elapsedMs = now - startedAt;
      if (!this.#limit.adjust({ elapsedMs, answered, late, loopDelayMs: lag.ms(), refused })) return;
      startedAt = now;
      this.#answered = 0;
      this.#late = 0;
      lag.restart();
    }, windowMs).unref();
  }

  #report(): void {
    this.#log.warn({ refused: this.#unlogged }, "calls were refused because the service is overloaded");
    this.#unlogged = 0;
  }
}
