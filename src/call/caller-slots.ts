import type { HandlerContext } from "@connectrpc/connect";
import type { InFlightConfig } from "../config/limits.ts";
import { actorKey, principalKey } from "./auth/principal.ts";
import { CallerConcurrency } from "./caller-concurrency.ts";
import { cancellationOf } from "./context.ts";
import { onEndKey } from "./observe.ts";

/** Takes the slots of a call, which are given back when it ends. Rejects with `RATE_LIMITED` when it gets none. */
export type TakeSlots = (context: HandlerContext) => void | Promise<void>;

/**
 * Makes what bounds the calls in flight of each caller, to be run when the caller is known. A call waits for a slot for up
 * to `waitMs` milliseconds, and for half of its deadline at most: a short burst of one client is queued, not refused.
 */
export function callerSlots(
  { perUser, perService }: Pick<InFlightConfig, "perUser" | "perService">,
  waitMs: number,
): TakeSlots {
  const users = perUser === 0 ? undefined : new CallerConcurrency(perUser);
  const services = perService === 0 ? undefined : new CallerConcurrency(perService);
  return (context) => {
    const principal = context.values.get(principalKey);
    const ofService =
      services !== undefined && principal?.kind === "service"
        ? take(services, principal.name, context, waitMs)
        : undefined;
    const actor = context.values.get(actorKey);
    if (users === undefined || actor === undefined) return ofService;
    if (ofService === undefined) return take(users, actor.id, context, waitMs);
    return ofService.then(() => take(users, actor.id, context, waitMs));
  };
}

function take(
  slots: CallerConcurrency,
  caller: string,
  context: HandlerContext,
  waitMs: number,
): void | Promise<void> {
  const maxWaitMs = Math.min(waitMs, (context.timeoutMs() ?? Number.POSITIVE_INFINITY) / 2);
  const acquired = slots.acquire(caller, maxWaitMs, cancellationOf(context));
  const releaseAtEnd = () => {
    const others = context.values.get(onEndKey);
    context.values.set(onEndKey, () => {
      slots.release(caller);
      others?.();
    });
  };
  if (acquired !== undefined) return acquired.then(releaseAtEnd);
  releaseAtEnd();
}
