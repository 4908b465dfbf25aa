/** A figure that a run measured, and what was promised of it. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly atMost?: number;
  readonly atLeast?: number;
}

/** Whether a figure breaks its promise; one that is no number does. */
export function isBroken({ value, atMost = Infinity, atLeast = -Infinity }: Figure): boolean {
  return !(value <= atMost && value >= atLeast);
}

/** A line for people. */
export function lineOf(figure: Figure): string {
  const { name, value, atMost, atLeast } = figure;
  const promised = [
    ...(atLeast === undefined ? [] : [`at least ${atLeast}`]),
    ...(atMost === undefined ? [] : [`at most ${atMost}`]),
  ].join(", ");
  const shown = Number.isInteger(value) ? String(value) : value.toFixed(1);
  return `${name.padEnd(44)} ${shown.padStart(9)}  ${promised}${isBroken(figure) ? "  BROKEN" : ""}`.trimEnd();
}

/** The value that so many of a hundred do not exceed; NaN of none. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? Number.NaN;
}
