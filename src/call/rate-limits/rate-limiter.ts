/** How often a caller may do something. */
export interface Rate {
  /** What is counted, as the `RateLimit` header names it. */
  readonly name: string;
  /** How many a minute for as long as one likes. */
  readonly perMinute: number;
  /** How many at once after a rest. */
  readonly burst: number;
}

/** What came of asking for one more. Times are in seconds, rounded up. */
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
  /** The most callers that are remembered; of more, those who took longest ago start anew. */
  readonly maxCallers?: number;
  /** Milliseconds that never go back. */
  readonly now?: () => number;
}

/**
 * Limits how often each of many callers does something: the leaky bucket as a meter (GCRA, ITU-T I.371). All that is
 * kept of a caller is the time at which its debt will be gone. What is refused costs the caller nothing.
 */
export class RateLimiter {
  readonly rate: Rate;
  readonly #msEach: number;
  readonly #burstMs: number;
  readonly #maxCallers: number;
  readonly #now: () => number;
  /** When each caller's debt is gone; who took last is last. */
  readonly #clearAt = new Map<string, number>();

  constructor(rate: Rate, { maxCallers = 100_000, now = () => performance.now() }: Options = {}) {
    this.rate = rate;
    this.#msEach = 60_000 / rate.perMinute;
    this.#burstMs = rate.burst * this.#msEach;
    this.#maxCallers = maxCallers;
    this.#now = now;
  }

  /** Takes one for a caller, if it may have it. */
  take(key: string): Taken {
    const now = this.#now();
    const clearAt = Math.max(this.#clearAt.get(key) ?? now, now);
    const debt = clearAt - now + this.#msEach;
    // A thousandth of one: the sums are not exact.
    const allowed = debt <= this.#burstMs + this.#msEach / 1_000;
    if (allowed) this.#remember(key, now + debt);
    const owed = allowed ? debt : clearAt - now;
    return {
      allowed,
      remaining: Math.max(0, Math.floor((this.#burstMs - owed) / this.#msEach + 0.001)),
      fullAfter: Math.ceil(owed / 1_000),
      nextAfter: Math.max(1, Math.ceil((owed + this.#msEach - this.#burstMs) / 1_000)),
    };
  }

  #remember(key: string, clearAt: number): void {
    this.#clearAt.delete(key);
    this.#clearAt.set(key, clearAt);
    if (this.#clearAt.size <= this.#maxCallers) return;
    const [oldest = ""] = this.#clearAt.keys();
    this.#clearAt.delete(oldest);
  }
}
