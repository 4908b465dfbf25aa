import { parseArgs } from "node:util";
import { startThrowawayServer } from "../support/throwaway-server.ts";
import { isBroken, lineOf } from "../trust/figures.ts";
import { conditions, describeConditions } from "./conditions.ts";
import { stopFigures } from "./figures.ts";
import { stopUnderLoad } from "./stop.ts";

// The full size: `npm run test:stops -- --size 20`. With `--mutant exit` the service ends at once.

const { values } = parseArgs({
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
