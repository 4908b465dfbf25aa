import { readCommandLine } from "../../src/command-line.ts";
import { startThrowawayServer } from "../support/throwaway-server.ts";
import { floodRun } from "./floods/flood-run.ts";
import { memoryRun } from "./floods/memory-run.ts";
import { fuzzRest } from "./fuzz/fuzz-rest.ts";
import { fuzzRpc } from "./fuzz/fuzz-rpc.ts";
import type { Report } from "./support/hostile-report.ts";
import { newSeed } from "./support/random.ts";
import type { MutantName } from "./support/source-mutants.ts";
import { timingRun } from "./timing/timing-run.ts";
import { tokenRun } from "./tokens/token-run.ts";

const usage = `Usage:
  npm run test:fuzz -- [options]
  npm run test:abuse -- [options]
  npm run test:timing -- [options]

The hostile runs in full size, each on a PostgreSQL of its own.

Options:
  --seed N        repeats what was drawn
  --count N       how many requests, tokens or samples
  --mutant NAME   takes a protection out of the service: the run must find it
  --help          shows this
`;

const { values, positionals } = readCommandLine(usage, {
  allowPositionals: true,
  options: {
    seed: { type: "string", default: String(newSeed()) },
    count: { type: "string" },
    mutant: { type: "string" },
  },
});
const seed = Number(values.seed);
const mutant = values.mutant === undefined ? {} : { mutant: values.mutant as MutantName };
const countOr = (usual: number) => Number(values.count ?? usual);

const runs: Record<string, (databaseUrl: string) => Promise<Report>> = {
  "fuzz-rest": (databaseUrl) =>
    fuzzRest({ databaseUrl, ...mutant, seed, count: countOr(100_000), slowMs: 1_000 }),
  "fuzz-rpc": (databaseUrl) =>
    fuzzRpc({ databaseUrl, ...mutant, seed, count: countOr(100_000), slowMs: 1_000 }),
  floods: (databaseUrl) =>
    floodRun({
      databaseUrl,
      ...mutant,
      scale: 1,
      flooders: 10,
      fast: true,
      warmUp: { steady: 250, most: 2_500 },
      p99Ms: 250,
      closeMs: 10_000,
    }),
  memory: (databaseUrl) =>
    memoryRun({
      databaseUrl,
      ...mutant,
      connections: countOr(1_500),
      kinds: [
        "pipelined requests behind an answer that is not taken",
        "streams of HTTP/2 whose answers have no window",
      ],
    }),
  tokens: (databaseUrl) => tokenRun({ databaseUrl, ...mutant, keyIds: countOr(10_000) }),
  timing: (databaseUrl) => timingRun({ databaseUrl, ...mutant, seed, samples: countOr(20_000), most: 0.55 }),
};

console.log(`seed: ${seed}${values.mutant === undefined ? "" : `, mutant: ${values.mutant}`}`);
for (const name of positionals) {
  const run = runs[name];
  if (run === undefined) throw new Error(`there is no run "${name}", only ${Object.keys(runs).join(", ")}`);
  const server = await startThrowawayServer();
  const startedAt = performance.now();
  const { figures, problems } = await run(server.url);
  await server.stop();
  console.log(`\n${name}, ${Math.round((performance.now() - startedAt) / 1000)} s`);
  for (const [what, figure] of Object.entries(figures)) console.log(`  ${what}: ${figure}`);
  for (const problem of problems) console.log(`  ! ${problem}`);
  console.log(`  verdict: ${problems.length === 0 ? "good" : "BROKEN"}`);
  if (problems.length > 0) process.exitCode = 1;
}
// Connections of clients that nobody closed would keep the process.
process.exit();
