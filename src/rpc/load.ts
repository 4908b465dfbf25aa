import type { Interceptor } from "@connectrpc/connect";
import type { Logger } from "pino";
import { PrivacyError } from "../domain/errors.ts";
import { type LoopLag, watchLoopLag } from "./loop-lag.ts";

/** When a refused caller may try again, in seconds. */
const retryAfter = 1;
/** Refused calls are logged by their number, this often at most. */
const logEveryMs = 1_000;
/** What tells that too many calls are at work. Times are in milliseconds. */
const pace = {
  /** A call that takes longer is late: callers wait for a second, say, and what is begun must be done well before. */
  lateMs: 250,
  /** An event loop that lags more is late. */
  lateLoopMs: 25,
  /** How late it may be once calls are refused. A change passes it several times; a refusal waits for it as well. */
  lagMs: 10,
  /** Between two looks. */
  lookMs: 100,
  /** So many are always taken: that keeps every connection to the database busy. Fewer than these tell nothing. */
  fewest: 16,
  /** How much more is tried after a look that finds nothing late, and one more. */
  growth: 1.1,
};

/** What a look finds. It counts when two find it: a moment passes by itself. */
interface Findings {
  /** Most calls took too long. */
  readonly callsLate: boolean;
  readonly loopLate: boolean;
}

/** What tells the time to a load. */
interface Clock {
  /** Milliseconds that never go back. */
  now(): number;
  readonly lag: LoopLag;
}

/** What a call is told for which there is no room. */
export function overloaded(): PrivacyError {
  return new PrivacyError("OVERLOADED", { retryAfter });
}

/**
 * Bounds the calls that a listener works on at once, so that those it takes are answered in time and all others are
 * refused at once; none waits in a queue. A call is at work while its token is checked and while its handler runs. It
 * is not while its client has yet to send the request or to take the response: slow clients take nobody's place.
 *
 * How many can be done in time depends on the machine, the database and the calls. When most calls were late, the
 * limit becomes what was done in the time that a call may take (Little's law); when the event loop is late, it falls in
 * proportion. It rises again while neither is so.
 */
export class Load {
  readonly #max: number;
  readonly #log: Logger;
  readonly #clock: Clock;
  #limit: number;
  #atWork = 0;
  /** Calls that came in this turn of the event loop, were not refused, and have not begun. */
  #arriving = 0;
  /** Calls that ended since the last look, how many of them were late, and when the first of them ended. */
  #ended = 0;
  #late = 0;
  #from = 0;
  /** What the last look found. */
  #was: Findings = { callsLate: false, loopLate: false };
  #refused = 0;
  #logging = false;

  /** At most `max` calls at once, 0 for any number. */
  constructor(
    max: number,
    log: Logger,
    clock: Clock = { now: () => performance.now(), lag: watchLoopLag() },
  ) {
    this.#max = max === 0 ? Number.POSITIVE_INFINITY : max;
    this.#limit = this.#max;
    this.#log = log;
    this.#clock = clock;
  }

  /** How many calls are taken at once now. */
  get limit(): number {
    return this.#limit;
  }

  /**
   * Whether a call that arrives now must be refused: always when what it waits for is `full`. Asked once for each call,
   * which is counted as what it becomes.
   */
  refuses(full = false): boolean {
    if (!full && this.#atWork + this.#arriving < this.#limit) {
      // Who has not sent all of its request by the next turn gives its place back.
      if (++this.#arriving === 1) setImmediate(() => (this.#arriving = 0));
      return false;
    }
    this.#refused += 1;
    if (!this.#logging) {
      this.#logging = true;
      setTimeout(() => this.#report(), logEveryMs).unref();
    }
    return true;
  }

  /** Begins work of a call that was not refused. Returns when. */
  enter(): number {
    this.#atWork += 1;
    if (this.#arriving > 0) this.#arriving -= 1;
    return this.#clock.now();
  }

  /**
   * Ends what `enter` began. `since` is what that returned, for calls that tell how busy the service is: those that were
   * answered. How long it takes to fail tells of a fault, which other means are for.
   */
  leave(since?: number): void {
    this.#atWork -= 1;
    if (since !== undefined) this.#took(since);
  }

  /** Does work of a call that was not refused. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.enter();
    try {
      return await work();
    } finally {
      this.leave();
    }
  }

  /** Waits for a client within the work of a call. */
  async outside<T>(wait: () => Promise<T>): Promise<T> {
    this.leave();
    try {
      return await wait();
    } finally {
      this.enter();
    }
  }

  /** Counts the handlers of unary calls; those of streams mostly wait for their clients. */
  readonly interceptor: Interceptor = (next) => async (request) => {
    if (request.stream) return next(request);
    const since = this.enter();
    let answeredSince: number | undefined;
    try {
      const response = await next(request);
      answeredSince = since;
      return response;
    } finally {
      this.leave(answeredSince);
    }
  };

  #took(since: number): void {
    if (this.#max === Number.POSITIVE_INFINITY) return;
    const now = this.#clock.now();
    if (this.#ended === 0) {
      this.#from = now;
      this.#clock.lag.restart();
    }
    this.#ended += 1;
    if (now - since > pace.lateMs) this.#late += 1;
    const ms = now - this.#from;
    if (ms < pace.lookMs || this.#ended < pace.fewest) return;
    const lagMs = this.#clock.lag.ms();
    const is: Findings = {
      callsLate: this.#late * 2 > this.#ended,
      loopLate: lagMs > (this.#limit < this.#max ? pace.lagMs : pace.lateLoopMs),
    };
    const tried = this.#limit * pace.growth + 1;
    const inTime = is.callsLate && this.#was.callsLate ? (this.#ended * pace.lateMs) / ms : tried;
    const atOnce = is.loopLate && this.#was.loopLate ? (this.#limit * pace.lagMs) / lagMs : tried;
    this.#was = is;
    this.#limit = Math.min(this.#max, Math.max(pace.fewest, Math.floor(Math.min(inTime, atOnce))));
    this.#ended = 0;
    this.#late = 0;
  }

  #report(): void {
    this.#log.warn({ refused: this.#refused }, "calls were refused for want of room");
    this.#refused = 0;
    this.#logging = false;
  }
}
