import type { Parameters } from "fast-check";

/**
 * How often a property is tried: `PROPERTY_RUNS` times as often as usual. What a failure prints as seed and path is
 * played again by `PROPERTY_SEED` and `PROPERTY_PATH`.
 */
export function runs(usual: number): Parameters<unknown> & { numRuns: number } {
  const { PROPERTY_RUNS = "1", PROPERTY_SEED, PROPERTY_PATH } = process.env;
  return {
    numRuns: Math.ceil(usual * Number(PROPERTY_RUNS)),
    ...(PROPERTY_SEED === undefined ? {} : { seed: Number(PROPERTY_SEED) }),
    ...(PROPERTY_PATH === undefined ? {} : { path: PROPERTY_PATH }),
  };
}
