import { type Goal, goalText, isMet } from "./statistics.ts";

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
