import type { Figure } from "../support/report.ts";
import type { StopOptions, StopOutcome } from "./stop.ts";

/** What is promised of a process that is stopped under load. */
export function stopFigures(outcome: StopOutcome, { drainDelayMs }: StopOptions): Figure[] {
  const { sent, answered, refused, lost, written, missing, exitCode } = outcome;
  return [
    { name: "calls", value: sent },
    { name: "in flight at the signal", value: outcome.inFlightAtSignal },
    { name: "calls lost", value: lost.length, atMost: 0 },
    { name: "neither answered nor refused", value: sent - answered - refused, atMost: 0 },
    { name: "writes that were acknowledged", value: written.length, atLeast: 101 },
    { name: "of these missing", value: missing.length, atMost: 0 },
    { name: "exit code", value: exitCode ?? Number.NaN, atLeast: 0, atMost: 0 },
    { name: "ended after, ms", value: outcome.endedAfterMs, atMost: 10_000 },
    ...(drainDelayMs === 0
      ? []
      : [{ name: "balancers were told", value: Number(outcome.wasRetired), atLeast: 1 }]),
  ];
}
