import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { readCommandLine } from "../../src/command.ts";
import type { Figures } from "./graph-figures.ts";
import { measureLoad } from "./graph-load.ts";

const usage = `Usage:
  npm run bench:graph -- [--changes N] [--load N] [EDGES...]

Measures the relationship graph in memory, with a user for every five edges:
100,000 and 10,000,000 edges unless you say other numbers. Then it is changed as
often as it has edges, or N times. In the end a service loads 300,000 edges, or
N, from PostgreSQL.
`;

const { positionals, values } = readCommandLine(usage, {
  allowPositionals: true,
  options: { changes: { type: "string" }, load: { type: "string", default: "300000" } },
});
const sizes = positionals.length > 0 ? positionals.map(Number) : [100_000, 10_000_000];
if (!sizes.every((size) => Number.isInteger(size) && size >= 1_000))
  throw new Error("the numbers of edges are 1,000 or more");

const columns: Record<string, Record<string, string>> = {};
for (const edges of sizes) {
  // A process of its own for each size: the memory of one must not count for another.
  const script = new URL("./graph-figures.ts", import.meta.url).pathname;
  const { stdout } = await promisify(execFile)(process.execPath, [
    "--expose-gc",
    script,
    String(edges),
    values.changes ?? String(edges),
  ]);
  for (const [name, figure] of Object.entries(JSON.parse(stdout) as Figures)) {
    columns[name] ??= {};
    columns[name][`${edges.toLocaleString("en")} edges`] = figure;
  }
}
console.table(columns);
console.table(await measureLoad(Number(values.load)));
process.exit();
