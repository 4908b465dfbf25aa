import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { startDatabase } from "./harness/database.ts";
import { rowsOf, tableLine } from "./harness/results.ts";
import { measureInRounds } from "./harness/rounds.ts";
import { beginBenchmark, type Program } from "./options.ts";
import { picture } from "./picture.ts";
import { type Report, reportOf } from "./report.ts";
import { accessRows } from "./rows/access.ts";
import { blockRows } from "./rows/block.ts";
import { emptyRows } from "./rows/empty.ts";
import { hiddenRows } from "./rows/hidden.ts";
import { restRows } from "./rows/rest.ts";
import { startSetting } from "./setting.ts";

/** Runs all comparisons on a database of their own, and leaves nothing behind. */
async function run({ options, folder, say }: Program): Promise<Report> {
  await using database = await startDatabase(options.size, (what) => say(`data: ${what}`));
  await using setting = await startSetting(database, folder);
  say("requests and their answers");
  const comparisons = [
    ...(await accessRows(setting, database, options.size)),
    ...(await hiddenRows(setting, database.client, options.size)),
    ...(await restRows(setting, database.client, options.size)),
    ...(await blockRows(setting, database, options.size)),
    ...emptyRows(setting),
  ].filter(({ id }) => id.includes(options.only));
  const found = await measureInRounds(comparisons, { ...options, say });
  return reportOf(rowsOf(comparisons, found), options, database.version);
}

const program = beginBenchmark(
  "bench",
  "Compares the service with programs written by hand. Takes about 25 minutes.",
);
const { options } = program;
const report = await run(program);
console.table(report.rows.map(tableLine));
for (const note of report.notes) console.log(note);
if (options.output !== undefined) {
  mkdirSync(dirname(options.output), { recursive: true });
  writeFileSync(`${options.output}.json`, `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(`${options.output}.svg`, picture(report));
}
