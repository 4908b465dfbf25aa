import { setTimeout } from "node:timers/promises";
import { createContextKey, type HandlerContext } from "@connectrpc/connect";

/** How long the refusal of a call is held back before it is told, in milliseconds. */
export const holdKey = createContextKey(0, { description: "hold" });

/**
 * Waits for some milliseconds, half as many more or less, so that those who come together do not come together again;
 * for half the time that the client still waits, at most, and not for one who is gone.
 */
export async function hold(context: HandlerContext, ms: number): Promise<void> {
  const spread = ms * (0.5 + Math.random());
  const most = Math.min(spread, (context.timeoutMs() ?? Number.POSITIVE_INFINITY) / 2);
  if (most > 0) await setTimeout(most, undefined, { signal: context.signal }).catch(() => {});
}
