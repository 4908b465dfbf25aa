import { type Comparison, type Contender, type Measurement, measure } from "./comparison.ts";

interface RoundOptions {
  readonly rounds: number;
  readonly ms: number;
  readonly warmUpMs: number;
  readonly say: (what: string) => void;
}

/** The measurements of every contender, one a round. */
export type Measurements = ReadonlyMap<Contender, readonly Measurement[]>;

/**
 * Measures all contenders of all comparisons in rounds. Within a comparison the order turns round with every round,
 * so that what favours the first or the last of a row favours all of them in turn.
 */
export async function measureInRounds(
  comparisons: readonly Comparison[],
  { rounds, ms, warmUpMs, say }: RoundOptions,
): Promise<Measurements> {
  const found = new Map<Contender, Measurement[]>();
  for (const comparison of comparisons) {
    say(`warm-up: ${comparison.title}`);
    for (const contender of contendersOf(comparison)) {
      await measure(comparison, contender, warmUpMs);
      found.set(contender, []);
    }
  }
  for (let round = 0; round < rounds; round++) {
    for (const comparison of comparisons) {
      say(`round ${round + 1} of ${rounds}: ${comparison.title}`);
      const contenders = contendersOf(comparison);
      for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
        found.get(contender)?.push(await measure(comparison, contender, ms));
      }
    }
  }
  return found;
}

function contendersOf({ ours, peers }: Comparison): Contender[] {
  return [ours, ...peers.map(({ contender }) => contender)];
}
