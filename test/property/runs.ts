import type { Parameters } from "fast-check";

/**
 * How often a property is tried: `PROPERTY_RUNS` times as often as usual, and for how long at most, in milliseconds.
 * What a failure prints as seed and path is played again by `PROPERTY_SEED` and `PROPERTY_PATH`.
 */
export function runs(
  usual: number,
): Parameters<unknown> & { numRuns: number; interruptAfterTimeLimit: number } {
  const { PROPERTY_RUNS = "1", PROPERTY_PATH } = process.env;
  const numRuns = Math.ceil(usual * Number(PROPERTY_RUNS));
  return {
    numRuns,
    interruptAfterTimeLimit: 60_000 + numRuns * 10_000,
    ...(PROPERTY_PATH === undefined ? {} : { path: PROPERTY_PATH }),
  };
}
