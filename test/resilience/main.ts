import { readCommandLine } from "../../src/command-line.ts";
import { runs, teeth } from "./runs.ts";
import { newSeed } from "./support/random.ts";
import { isBroken, lineOf } from "./support/report.ts";

const usage = `Usage:
  npm run test:RUN -- [options]

Makes the full size of a run, on servers of its own. The runs:
${Object.keys(runs).join(" ")}
docs/resilience.md says what each must hold.

Options:
  --seed N        repeats what was drawn
  --size N        instead of the run's own size
  --mutant NAME   takes a protection out of the service: the run must fail
  --help          shows this
`;

const { values, positionals } = readCommandLine(usage, {
  allowPositionals: true,
  options: {
    seed: { type: "string", default: String(newSeed()) },
    /** Instead of the run's own size. */
    size: { type: "string" },
    mutant: { type: "string" },
  },
});
const [name = ""] = positionals;
const run = runs[name];
if (run === undefined) throw new Error(`There is no run ${name}: only ${Object.keys(runs).join(", ")}`);
const { mutant } = values;
const mutants = teeth[name] ?? [];
// Without a mutant a run is kept, which would look as if it had no teeth.
if (mutant !== undefined && !mutants.includes(mutant))
  throw new Error(`${name} has no mutant ${mutant}: only ${mutants.join(", ")}`);

const seed = Number(values.seed);
console.log(lineOf({ name: "seed", value: seed }));
const begin = performance.now();
const { figures, notes = [] } = await run({
  seed,
  mutant,
  size: values.size === undefined ? undefined : Number(values.size),
});
for (const figure of figures) console.log(lineOf(figure));
for (const note of notes.slice(0, 3)) console.log(note);
console.log(lineOf({ name: "seconds", value: (performance.now() - begin) / 1_000 }));
const broken = figures.filter(isBroken);
console.log(
  `verdict: ${broken.length === 0 ? "kept" : `BROKEN: ${broken.map(({ name }) => name).join(", ")}`}`,
);
process.exitCode = broken.length === 0 ? 0 : 1;
