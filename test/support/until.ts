import { setTimeout } from "node:timers/promises";
import { AssertionError } from "chai";

/** Waits until a condition is true. Fails with the text of the condition when that takes too long. */
export async function until(condition: () => boolean | Promise<boolean>, withinMs = 50_000): Promise<void> {
  const from = performance.now();
  while (!(await condition())) {
    if (performance.now() - from > withinMs)
      throw new AssertionError(`not true within ${withinMs} ms: ${condition}`);
    await setTimeout(5);
  }
}
