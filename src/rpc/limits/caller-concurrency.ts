import { PrivacyError } from "../../domain/errors.ts";
import type { Cancellation } from "../call-context.ts";

/** When a caller who is refused may try again, in seconds. */
const retryAfter = 1;

interface Caller {
  inFlight: number;
  /** Calls that wait for a slot, first come first served: each is told that it has one. */
  readonly waiting: Set<() => void>;
}

/** Bounds how many calls each of many callers has in flight. A caller with none takes no memory. */
export class CallerConcurrency {
  readonly #maximum: number;
  readonly #callers = new Map<string, Caller>();

  /** At most `maximum` calls of each caller at once. */
  constructor(maximum: number) {
    this.#maximum = maximum;
  }

  /**
   * Takes a slot for a call, which `release` must give back once. Waits for one for up to `waitMs` milliseconds, then
   * rejects with `RATE_LIMITED`; rejects with the reason of `gone` when the call is cancelled first.
   */
  acquire(key: string, waitMs: number, gone: Cancellation): void | Promise<void> {
    const caller = this.#callers.get(key) ?? { inFlight: 0, waiting: new Set() };
    if (caller.inFlight >= this.#maximum) return wait(caller.waiting, waitMs, gone);
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

function wait(waiting: Set<() => void>, ms: number, gone: Cancellation): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const end = (settle: () => void) => {
    clearTimeout(timer);
    gone.removeEventListener("abort", cancel);
    waiting.delete(take);
    settle();
  };
  const take = () => end(resolve);
  const cancel = () => end(() => reject(gone.reason));
  const timer = setTimeout(
    () => end(() => reject(new PrivacyError("RATE_LIMITED", { retryAfter }))),
    Math.max(0, ms),
  );
  waiting.add(take);
  if (gone.aborted) cancel();
  else gone.addEventListener("abort", cancel);
  return promise;
}
