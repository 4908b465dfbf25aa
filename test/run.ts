import { globSync } from "node:fs";
import { endAfterHelp } from "../src/command.ts";
import { type Outcome, runMocha } from "./support/run-mocha.ts";

const usage = `Usage:
  npm test -- [options of mocha]

Runs every test file, by several processes of mocha: npm test -- --grep mute
`;

endAfterHelp(usage);

/** Test processes in parallel. Most tests wait for their servers half of the time. */
const lanes = 2;

/** Files that measure times: nothing else runs beside them. */
const alone = files(
  "test/resilience/{deadlines,failover,fairness,outage,overload}/*.test.ts",
  "test/resilience/timing/*.test.ts",
);
/** One process for each, the longest first. */
const sideBySide = grouped(
  files("test/resilience/**/*.test.ts"),
  files("test/e2e/**/*.test.ts"),
  files("test/store/**/*.test.ts", "test/property/*.test.ts"),
  files("test/**/*.test.ts"),
);

const outcomes: Outcome[] = [];
/** The output of one process at a time: that of two at once could not be read. */
let shown: Promise<void> = Promise.resolve();

await Promise.all(Array.from({ length: lanes }, () => runAll(sideBySide)));
await runAll([alone]);
await shown;

const sum = (key: keyof Outcome) => outcomes.reduce((total, outcome) => total + outcome[key], 0);
process.stdout.write(
  `All tests\n\n  ${sum("passing")} passing\n  ${sum("failing")} failing\n  ${sum("pending")} pending\n`,
);
process.exitCode = sum("failing") === 0 ? 0 : 1;

function files(...patterns: readonly string[]): string[] {
  return globSync([...patterns]).sort();
}

/** Keeps every file in the first group that has it. Removes the files that run alone. */
function grouped(...groups: readonly string[][]): string[][] {
  const taken = new Set(alone);
  return groups.map((group) => group.filter((file) => !taken.has(file) && taken.add(file)));
}

/** Runs the groups one after the other, and empties the list. */
async function runAll(groups: string[][]): Promise<void> {
  const args = [...(process.stdout.isTTY ? ["--color"] : []), ...process.argv.slice(2)];
  for (let group = groups.shift(); group !== undefined; group = groups.shift()) {
    const run = runMocha(group, args);
    shown = shown.then(() => run.show((chunk) => process.stdout.write(chunk)));
    outcomes.push(await run.outcome);
  }
}
