/** A figure that a run measured, and what was promised of it. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly atMost?: number;
  readonly atLeast?: number;
}

/** What a run found. Its promise is kept when no figure breaks its bounds. */
export interface Report {
  readonly figures: readonly Figure[];
  /** Examples of what broke the promise, and whatever else explains the figures. */
  readonly notes?: readonly string[];
}

/** Whether a figure breaks its promise; one that is no number does. */
export function isBroken({ value, atMost = Infinity, atLeast = -Infinity }: Figure): boolean {
  return !(value <= atMost && value >= atLeast);
}

/** The names of the figures that break their promises. */
export function brokenNames(figures: readonly Figure[]): string[] {
  return figures.filter(isBroken).map(({ name }) => name);
}

/** Lines about the figures that break their promises, and the notes when there are any. */
export function brokenLines({ figures, notes = [] }: Report): string[] {
  const lines = figures.filter(isBroken).map(lineOf);
  return lines.length === 0 ? [] : [...lines, ...notes];
}

/** A line for people. */
export function lineOf(figure: Figure): string {
  const { name, value, atMost, atLeast } = figure;
  const promised = [
    ...(atLeast === undefined ? [] : [`at least ${atLeast}`]),
    ...(atMost === undefined ? [] : [`at most ${atMost}`]),
  ].join(", ");
  const shown = Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) < 10 ? 3 : 1);
  return `${name.padEnd(44)} ${shown.padStart(9)}  ${promised}${isBroken(figure) ? "  BROKEN" : ""}`.trimEnd();
}

/** Makes figures whose names begin with that of the part of a run that they are about. */
export function figuresOf(part: string) {
  return (name: string, value: number, promise: Omit<Figure, "name" | "value"> = {}): Figure => ({
    name: `${part}: ${name}`,
    value,
    ...promise,
  });
}

/** The value that so many of a hundred do not exceed; NaN of none. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? Number.NaN;
}

/** Collects the problems of a run by their kinds, none of which may occur; keeps some examples of each. */
export class Problems {
  readonly #examples = new Map<string, string[]>();
  readonly #counts = new Map<string, number>();

  add(kind: string, example: string): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    const known = this.#examples.get(kind) ?? [];
    if (known.length < 5) this.#examples.set(kind, [...known, example]);
  }

  /** Adds what an instance reports of itself: its faults, and its end. */
  inspect({ faults, ended }: { readonly faults: readonly string[]; ended(): string | undefined }): void {
    for (const fault of faults) this.add("a fault in the log", fault.slice(0, 800));
    if (ended() !== undefined) this.add("the service ended", String(ended()));
  }

  any(): boolean {
    return this.#counts.size > 0;
  }

  /** The report of the run, with some figures and notes of its own. */
  report(figures: readonly Figure[], notes: readonly string[] = []): Report {
    return {
      figures: [
        ...figures,
        ...[...this.#counts].map(([name, value]) => ({ name, value, atMost: 0 })),
        { name: "kinds of problems", value: this.#counts.size, atMost: 0 },
      ],
      notes: [
        ...[...this.#examples].flatMap(([kind, examples]) =>
          examples.map((example) => `${kind}: ${example}`),
        ),
        ...notes,
      ],
    };
  }
}
