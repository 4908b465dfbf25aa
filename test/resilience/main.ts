import { readCommandLine } from "../../src/command.ts";
import { mutantNames, runs } from "./runs.ts";
import { newSeed } from "./support/random.ts";
import { isBroken, lineOf } from "./support/report.ts";

const listed = Object.entries(runs)
  .map(([name, { unit, usual }]) => `  ${name.padEnd(13)} ${usual} ${unit}`)
  .join("\n");
const usage = `Usage:
  npm run test:RUN -- [options]
  node test/resilience/main.ts RUN... [options]

Makes runs in their full size, each on servers of its own. docs/resilience.md
says what each must show. The runs, and their sizes:
${listed}

Options:
  --seed N        repeats what was drawn
  --size N        another size, in the unit of the run (or --count, --seconds)
  --width N       overload only: the concurrency of the highest rate
  --mutant NAME   takes a protection out of the service: the run must fail
  --help          shows this
`;

const { values, positionals } = readCommandLine(usage, {
  allowPositionals: true,
  options: {
    seed: { type: "string", default: String(newSeed()) },
    size: { type: "string" },
    count: { type: "string" },
    seconds: { type: "string" },
    width: { type: "string" },
    mutant: { type: "string" },
  },
});
const { mutant } = values;
const unknown = positionals.filter((name) => !(name in runs));
if (unknown.length > 0 || positionals.length === 0)
  throw new Error(`There is no run ${unknown[0] ?? ""}: only ${Object.keys(runs).join(", ")}`);
// A run keeps its promise on a mutant that is not its own, which would look as if it could not fail.
const chosen = positionals.filter((name) => mutant === undefined || mutantNames(name).includes(mutant));
if (chosen.length === 0)
  throw new Error(
    `${positionals} has no mutant ${mutant}: only ${positionals.flatMap(mutantNames).join(", ")}`,
  );

const seed = Number(values.seed);
console.log(lineOf({ name: "seed", value: seed }));
for (const name of chosen) {
  const run = runs[name] as (typeof runs)[string];
  if (chosen.length > 1) console.log(`\n${name}`);
  const begin = performance.now();
  const { figures, notes = [] } = await run.make({
    seed,
    size: Number(values.size ?? values.count ?? values.seconds ?? run.usual),
    width: values.width === undefined ? undefined : Number(values.width),
    mutant,
  });
  for (const figure of figures) console.log(lineOf(figure));
  for (const note of notes) console.log(note);
  console.log(lineOf({ name: "seconds", value: (performance.now() - begin) / 1_000 }));
  const broken = new Set(figures.filter(isBroken).map(({ name }) => name));
  console.log(`verdict: ${broken.size === 0 ? "kept" : `BROKEN: ${[...broken].join(", ")}`}`);
  if (broken.size > 0) process.exitCode = 1;
}
// Open connections of clients would keep the process.
process.exit();
