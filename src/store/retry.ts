import { setTimeout } from "node:timers/promises";

const attempts = 4;
const firstPauseMs = 10;

/**
 * Runs a step again, up to four times in all, while it fails in a way of which `isSafe` says that nothing was changed
 * and that it may pass. The pauses double and vary, so that those who collided do not collide again.
 */
export async function retrying<T>(
  step: () => Promise<T>,
  isSafe: (failure: unknown) => boolean,
  signal?: AbortSignal,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await step();
    } catch (failure) {
      if (attempt === attempts || signal?.aborted || !isSafe(failure)) throw failure;
      const pauseMs = firstPauseMs * 2 ** attempt * Math.random();
      await setTimeout(pauseMs, undefined, signal === undefined ? {} : { signal });
    }
  }
}
