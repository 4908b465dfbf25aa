import { PrivacyError } from "../domain/errors.ts";
import type { Cancellation } from "./context.ts";

/** The `Retry-After` of a refused call, in seconds. */
const retryAfter = 1;

interface Caller {
  inFlight: number;
  /** Hands a slot over to a waiting call; in the order in which the calls came. */
  readonly waiting: Set<() => void>;
}

/** Bounds the calls in flight of each caller. A caller without a call takes no memory. */
export class CallerConcurrency {
  readonly #maximum: number;
  readonly #callers = new Map<string, Caller>();

  /** At most `maximum` calls of each caller at once. */
  constructor(maximum: number) {
    this.#maximum = maximum;
  }

  /**
   * Takes a slot for a call, which `release` must give back once. Waits for one for up to `waitMs` milliseconds, then
   * rejects with `RATE_LIMITED`; rejects with the reason of `cancellation` when that comes first.
   */
  acquire(key: string, waitMs: number, cancellation: Cancellation): void | Promise<void> {
    const caller = this.#callers.get(key) ?? { inFlight: 0, waiting: new Set() };
    if (caller.inFlight >= this.#maximum) return waitForSlot(caller.waiting, waitMs, cancellation);
    this.#callers.set(key, caller);
    caller.inFlight += 1;
  }

  /** Gives a slot back. */
  release(key: string): void {
    const caller = this.#callers.get(key);
    if (caller === undefined) return;
    const [next] = caller.waiting;
    if (next !== undefined) next();
    else if (--caller.inFlight === 0) this.#callers.delete(key);
  }

  /** How many callers have a call in flight. */
  get callers(): number {
    return this.#callers.size;
  }
}

function waitForSlot(waiting: Set<() => void>, ms: number, cancellation: Cancellation): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const end = (settle: () => void) => {
    clearTimeout(timer);
    cancellation.removeEventListener("abort", cancel);
    waiting.delete(take);
    settle();
  };
  const take = () => end(resolve);
  const cancel = () => end(() => reject(cancellation.reason));
  const timer = setTimeout(
    () => end(() => reject(new PrivacyError("RATE_LIMITED", { retryAfter }))),
    Math.max(0, ms),
  );
  waiting.add(take);
  if (cancellation.aborted) cancel();
  else cancellation.addEventListener("abort", cancel);
  return promise;
}
