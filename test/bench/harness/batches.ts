import { type Quartiles, quartiles } from "./statistics.ts";

/** The runs of a batch: too short to be interrupted often. */
export const batchSize = 200;

/**
 * Times runs of something in batches, for each of which `prepare` makes what it needs. Returns the microseconds of one run:
 * quartiles of the batches. Between batches, other events are handled.
 */
export async function timeBatches(
  batches: number,
  prepare: (batch: number) => (index: number) => void,
  runs = batchSize,
): Promise<Quartiles> {
  const durations: number[] = [];
  for (let batch = 0; batch < batches; batch++) {
    const run = prepare(batch);
    const startedAt = performance.now();
    for (let index = 0; index < runs; index++) run(index);
    durations.push(((performance.now() - startedAt) / runs) * 1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return quartiles(durations);
}
