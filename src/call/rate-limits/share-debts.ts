import type { Logger } from "pino";
import type { CallerLimits } from "./caller-limits.ts";
import type { Debt, RateLimiter } from "./rate-limiter.ts";

/** What all instances know together. */
export interface SharedDebts {
  /** Adds to what callers owe, and returns what they owe then, in any order. */
  add(debts: readonly Debt[], signal: AbortSignal): Promise<readonly Debt[]>;
  /** Forgets the callers who owe nothing. */
  forget(signal: AbortSignal): Promise<void>;
}

/** A round in which nothing is added still forgets, now and then: an instance may have ended without. */
const forgetEvery = 60;
/** The most callers of one statement. */
const batchSize = 1_000;

/**
 * Tells other instances in the background, once a second, what callers took here, and learns what they took there. No
 * call waits for it. While the database is away every instance counts for itself; what was not told then never is.
 */
export function shareDebts(
  limits: CallerLimits,
  shared: SharedDebts,
  log: Logger,
  everyMs = 1_000,
): AsyncDisposable {
  const limiters = Object.values(limits).filter((limiter) => limiter !== undefined);
  const end = new AbortController();
  let working = true;
  let round = 0;

  async function tell(limiter: RateLimiter): Promise<void> {
    const { name } = limiter.rate;
    const debts = limiter.untold();
    for (let at = 0; at < debts.length; at += batchSize) {
      const batch = debts.slice(at, at + batchSize).map(({ key, ms }) => ({ key: `${name} ${key}`, ms }));
      for (const { key, ms } of await shared.add(batch, end.signal))
        limiter.learn({ key: key.slice(name.length + 1), ms });
    }
  }

  async function work(): Promise<void> {
    try {
      for (const limiter of limiters) await tell(limiter);
      if (round++ % forgetEvery === 0) await shared.forget(end.signal);
      if (!working) log.info("limits are counted across instances again");
      working = true;
    } catch (err) {
      if (working && !end.signal.aborted) log.warn({ err }, "limits are counted by each instance alone");
      working = false;
    }
  }

  let current = Promise.resolve();
  let timer: NodeJS.Timeout;
  const next = () => {
    timer = setTimeout(() => {
      current = work().then(() => {
        if (!end.signal.aborted) next();
      });
    }, everyMs).unref();
  };
  next();

  return {
    [Symbol.asyncDispose]: async () => {
      end.abort();
      clearTimeout(timer);
      await current;
    },
  };
}
