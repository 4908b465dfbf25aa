/** The middle of some figures, and where the lower and the upper quarter end. */
export interface Quartiles {
  readonly lower: number;
  readonly median: number;
  readonly upper: number;
}

/** Quartiles by linear interpolation between the nearest figures. */
export function quartiles(values: readonly number[]): Quartiles {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => {
    const place = (sorted.length - 1) * share;
    const below = sorted[Math.floor(place)] ?? Number.NaN;
    const above = sorted[Math.ceil(place)] ?? Number.NaN;
    return below + (above - below) * (place - Math.floor(place));
  };
  return { lower: at(0.25), median: at(0.5), upper: at(0.75) };
}

/** What a ratio is to be: no less, or no more, than a figure. */
export type Goal = { readonly atLeast: number } | { readonly atMost: number };

/** A goal is met when three quarters of the rounds meet it. */
export function isMet(goal: Goal, { lower, upper }: Quartiles): boolean {
  return "atLeast" in goal ? lower >= goal.atLeast : upper <= goal.atMost;
}

export function goalText(goal: Goal | undefined): string {
  if (goal === undefined) return "";
  return "atLeast" in goal ? `>= ${goal.atLeast}` : `<= ${goal.atMost}`;
}
