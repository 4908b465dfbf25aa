import type { Comparison, Contender, Measurement } from "./comparison.ts";
import type { Measurements } from "./rounds.ts";
import { type Goal, goalText, isMet, type Quartiles, quartiles } from "./statistics.ts";

/** A row of the table: this service against one peer. */
export interface Row {
  readonly id: string;
  readonly work: string;
  readonly peer: string;
  /** What the ratio is of. */
  readonly figure: string;
  readonly ours: Figures;
  readonly theirs: Figures;
  /** Ours to theirs, of measurements that followed each other. */
  readonly ratio: Quartiles;
  readonly goal: Goal | undefined;
  readonly met: boolean | undefined;
}

/** Medians of what was measured on one side. */
interface Figures {
  readonly value: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly cpuMicros: number;
  readonly serverShare: number;
  readonly generatorShare: number;
}

export function rowsOf(comparisons: readonly Comparison[], found: Measurements): Row[] {
  return comparisons.flatMap((comparison) =>
    comparison.peers.map(({ contender, goal }) => {
      const ours = measurementsOf(found, comparison.ours);
      const theirs = measurementsOf(found, contender);
      const ratio = quartiles(ours.map(({ value }, round) => value / (theirs[round]?.value ?? Number.NaN)));
      return {
        id: `${comparison.id}/${contender.name}`,
        work: comparison.title,
        peer: contender.name,
        figure: unitOf(comparison),
        ours: figuresOf(ours),
        theirs: figuresOf(theirs),
        ratio,
        goal,
        met: goal && isMet(goal, ratio),
      };
    }),
  );
}

function unitOf({ figure, unit }: Comparison): string {
  return { rate: `${unit.name}/s`, p50: "ms", database: "µs" }[figure];
}

/** What the table of a terminal shows of a row. */
export function tableLine({ work, peer, figure, ours, theirs, ratio, goal, met }: Row) {
  const amount = (value: number) =>
    isTime(figure) ? value.toFixed(3) : Math.round(value).toLocaleString("en");
  return {
    work,
    against: peer,
    ours: `${amount(ours.value)} ${figure}`,
    theirs: `${amount(theirs.value)} ${figure}`,
    ratio: ratio.median.toFixed(2),
    quartiles: `${ratio.lower.toFixed(2)} to ${ratio.upper.toFixed(2)}`,
    goal: goalText(goal),
    met: met === undefined ? "" : met ? "yes" : "no",
    "µs/call": `${ours.cpuMicros.toFixed(1)} : ${theirs.cpuMicros.toFixed(1)}`,
    "core used": `${percent(ours.serverShare)} : ${percent(theirs.serverShare)}`,
    "load's core": `${percent(ours.generatorShare)} : ${percent(theirs.generatorShare)}`,
  };
}

/** Whether a figure of a row is a time: less is better. */
export function isTime(figure: string): boolean {
  return ["ms", "µs"].includes(figure);
}

function measurementsOf(found: Measurements, contender: Contender): readonly Measurement[] {
  return found.get(contender) ?? [];
}

function figuresOf(measurements: readonly Measurement[]): Figures {
  const median = (key: keyof Measurement) => quartiles(measurements.map((one) => one[key])).median;
  const orNull = (value: number) => (Number.isNaN(value) ? null : value);
  return {
    value: median("value"),
    p50Ms: orNull(median("p50Ms")),
    p99Ms: orNull(median("p99Ms")),
    cpuMicros: median("cpuMicros"),
    serverShare: median("serverShare"),
    generatorShare: median("generatorShare"),
  };
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** A figure that is not compared with a peer's. */
export interface Finding {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly goal?: Goal;
}

/** What the table of a terminal shows of a finding. */
export function findingLine({ what, value, unit, goal }: Finding) {
  return {
    what,
    found: `${value.toFixed(value < 10 ? 2 : 0)} ${unit}`,
    goal: goalText(goal),
    met: goal === undefined ? "" : isMet(goal, { lower: value, median: value, upper: value }) ? "yes" : "no",
  };
}
