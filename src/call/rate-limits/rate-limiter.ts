/** How often a caller may do something. */
export interface Rate {
  /** What is counted, as the `RateLimit` header names it. */
  readonly name: string;
  /** The sustained rate. */
  readonly perMinute: number;
  /** How many at once after a pause. */
  readonly burst: number;
}

/** The outcome of `take`. Times are in seconds, rounded up. */
export interface Taken {
  readonly allowed: boolean;
  /** How many are left. */
  readonly remaining: number;
  /** Until the whole burst is there again. */
  readonly fullAfter: number;
  /** Until the next one is allowed. */
  readonly nextAfter: number;
}

interface Options {
  /** The most callers that are kept. Beyond it, the caller whose last `take` is the oldest starts anew. */
  readonly maxCallers?: number;
  /** A monotonic clock, in milliseconds. */
  readonly now?: () => number;
}

/**
 * Limits how often each of many callers does something, by the generic cell rate algorithm (GCRA, ITU-T I.371), a leaky
 * bucket. All that is kept of a caller is its theoretical arrival time (TAT). What is rejected does not count.
 */
export class RateLimiter {
  readonly rate: Rate;
  readonly #msEach: number;
  readonly #burstMs: number;
  readonly #maxCallers: number;
  readonly #now: () => number;
  /** The TAT of each caller; the caller whose last `take` is the oldest comes first. */
  readonly #tat = new Map<string, number>();

  constructor(rate: Rate, { maxCallers = 100_000, now = () => performance.now() }: Options = {}) {
    this.rate = rate;
    this.#msEach = 60_000 / rate.perMinute;
    this.#burstMs = rate.burst * this.#msEach;
    this.#maxCallers = maxCallers;
    this.#now = now;
  }

  /** Counts one for a caller, if that keeps within the limit. */
  take(key: string): Taken {
    const now = this.#now();
    const tat = Math.max(this.#tat.get(key) ?? now, now);
    const level = tat - now + this.#msEach;
    // A thousandth of one more, since the sums are not exact.
    const allowed = level <= this.#burstMs + this.#msEach / 1_000;
    if (allowed) this.#store(key, now + level);
    const used = allowed ? level : tat - now;
    return {
      allowed,
      remaining: Math.max(0, Math.floor((this.#burstMs - used) / this.#msEach + 0.001)),
      fullAfter: Math.ceil(used / 1_000),
      nextAfter: Math.max(1, Math.ceil((used + this.#msEach - this.#burstMs) / 1_000)),
    };
  }

  #store(key: string, tat: number): void {
    this.#tat.delete(key);
    this.#tat.set(key, tat);
    if (this.#tat.size <= this.#maxCallers) return;
    const [oldest = ""] = this.#tat.keys();
    this.#tat.delete(oldest);
  }
}
