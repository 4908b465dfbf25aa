import type { HandlerContext } from "@connectrpc/connect";
import type { InFlightConfig } from "../config/limits.ts";
import { PrivacyError } from "../domain/errors.ts";
import { actorKey, principalKey } from "./auth/authenticator.ts";

/** The `Retry-After` of a call that gets no slot, in seconds. */
const retryAfter = 1;

/**
 * Takes the slots of a call, a step of the call pipeline. What gives them back goes to `onEnd`, to be called when the
 * call ends. Rejects with `RATE_LIMITED` when the call gets none.
 */
export type TakeSlots = (
  context: HandlerContext,
  onEnd: (release: () => void) => void,
) => void | Promise<void>;

/**
 * Makes what bounds the calls in flight of each caller. A call waits for a slot for up to `waitMs` milliseconds, and for
 * half of its deadline at most: a short burst of one client is queued, not rejected.
 */
export function callerSlots(
  { perUser, perService }: Pick<InFlightConfig, "perUser" | "perService">,
  waitMs: number,
): TakeSlots {
  const users = perUser === 0 ? undefined : new CallerConcurrency(perUser);
  const services = perService === 0 ? undefined : new CallerConcurrency(perService);
  return (context, onEnd) => {
    const take = (slots: CallerConcurrency, caller: string): void | Promise<void> => {
      const maxWaitMs = Math.min(waitMs, (context.timeoutMs() ?? Number.POSITIVE_INFINITY) / 2);
      const acquired = slots.acquire(caller, maxWaitMs, context.signal);
      const releaseAtEnd = () => onEnd(() => slots.release(caller));
      if (acquired !== undefined) return acquired.then(releaseAtEnd);
      releaseAtEnd();
    };
    const principal = context.values.get(principalKey);
    const ofService =
      services !== undefined && principal?.kind === "service" ? take(services, principal.name) : undefined;
    const actor = context.values.get(actorKey);
    if (users === undefined || actor === undefined) return ofService;
    if (ofService === undefined) return take(users, actor.id);
    return ofService.then(() => take(users, actor.id));
  };
}

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
   * rejects with `RATE_LIMITED`; rejects with the reason of `signal` when that comes first.
   */
  acquire(key: string, waitMs: number, signal: AbortSignal): void | Promise<void> {
    const caller = this.#callers.get(key) ?? { inFlight: 0, waiting: new Set() };
    if (caller.inFlight >= this.#maximum) return waitForSlot(caller.waiting, waitMs, signal);
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

function waitForSlot(waiting: Set<() => void>, ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const end = (settle: () => void) => {
    clearTimeout(timer);
    signal.removeEventListener("abort", cancel);
    waiting.delete(take);
    settle();
  };
  const take = () => end(resolve);
  const cancel = () => end(() => reject(signal.reason));
  const timer = setTimeout(
    () => end(() => reject(new PrivacyError("RATE_LIMITED", { retryAfter }))),
    Math.max(0, ms),
  );
  waiting.add(take);
  if (signal.aborted) cancel();
  else signal.addEventListener("abort", cancel);
  return promise;
}
