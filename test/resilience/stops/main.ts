import { readCommandLine } from "../../../src/command-line.ts";
import { startThrowawayServer } from "../../support/throwaway-server.ts";
import { isBroken, lineOf } from "../support/report.ts";
import { conditions, describeConditions } from "./conditions.ts";
import { stopFigures } from "./figures.ts";
import { stopUnderLoad } from "./stop.ts";

const usage = `Usage:
  npm run test:stops -- [options]

Stops the service under load, in several ways.

Options:
  --size N        how many stops: 20 unless said otherwise
  --mutant exit   has the service end at once: the run must fail
  --help          shows this
`;

const { values } = readCommandLine(usage, {
  options: {
    size: { type: "string", default: "20" },
    mutant: { type: "string" },
  },
});
if (values.mutant !== undefined && values.mutant !== "exit") throw new Error("there is no mutant but exit");
const { mutant } = values as { mutant?: "exit" };
const server = await startThrowawayServer();
const broken: string[] = [];
let calls = 0;
let stops = 0;
try {
  for (const each of conditions(Number(values.size), server.url)) {
    const options = { ...each, mutant };
    const outcome = await stopUnderLoad(options);
    const figures = stopFigures(outcome, options);
    stops += 1;
    calls += outcome.sent;
    console.log(`\nstop ${stops}, ${describeConditions(options)}`);
    for (const figure of figures) console.log(lineOf(figure));
    for (const lost of outcome.lost.slice(0, 3)) console.log(lost);
    broken.push(...figures.filter(isBroken).map(({ name }) => name));
  }
} finally {
  await server.stop();
}
console.log("");
console.log(lineOf({ name: "stops", value: stops }));
console.log(lineOf({ name: "calls", value: calls }));
console.log(`verdict: ${broken.length === 0 ? "kept" : `BROKEN: ${[...new Set(broken)].join(", ")}`}`);
process.exit(broken.length === 0 ? 0 : 1);
