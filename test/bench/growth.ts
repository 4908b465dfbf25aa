import { join } from "node:path";
import { sizes } from "./data/sizes.ts";
import { specialUsers, userId } from "./data/users.ts";
import { startDatabase } from "./harness/database.ts";
import { residentMegabytes } from "./harness/machine.ts";
import type { Server } from "./harness/processes.ts";
import { type Finding, findingLine, rowsOf, tableLine } from "./harness/results.ts";
import { measureInRounds } from "./harness/rounds.ts";
import { beginBenchmark } from "./options.ts";
import { growthRows } from "./rows/growth.ts";
import { mintServiceToken, mintUserToken, startOurs } from "./setting.ts";

const list = "/api/v1/e-social/privacy-control/blocked";
const sampleMs = 20;

/** Reads the complete list of a user, and measures its times and the memory that the service takes for it. */
async function readList(server: Server, user: string) {
  const before = residentMegabytes(server.pid);
  let most = before;
  const sampling = setInterval(() => {
    most = Math.max(most, residentMegabytes(server.pid));
  }, sampleMs);
  const startedAt = performance.now();
  const response = await fetch(`http://127.0.0.1:${server.ports.http}${list}`, {
    headers: { authorization: await mintUserToken(user) },
  });
  let firstByteMs: number | undefined;
  let rows = 0;
  let end = "";
  for await (const chunk of response.body ?? []) {
    firstByteMs ??= performance.now() - startedAt;
    const text = end + Buffer.from(chunk).toString("latin1");
    rows += text.split('"createdAt"').length - 1;
    // A name may be cut in two; what is kept holds none whole.
    end = text.slice(text.lastIndexOf(",") + 1).replaceAll('"createdAt"', "");
  }
  clearInterval(sampling);
  if (!end.endsWith("}")) throw new Error("the list was cut off");
  return {
    rows,
    firstByteMs: firstByteMs ?? Number.NaN,
    grownBy: most - before,
    ms: performance.now() - startedAt,
  };
}

const { options, folder, say } = beginBenchmark("bench:growth", "Measures what more data cost.");

await using parts = new AsyncDisposableStack();
const start = async (name: string, size: typeof options.size) => {
  const { url, client } = parts.use(await startDatabase(size, (what) => say(`data: ${what}`)));
  const server = await startOurs(url, join(folder, `${name}.log`));
  parts.defer(() => server.stop());
  return { server, client, size };
};
const large = await start("large", options.size);
const small = await start("small", sizes.tiny);
const serviceToken = await mintServiceToken();
const comparisons = (
  await growthRows({ folder, serviceToken, userToken: mintUserToken }, large, small)
).filter(({ id }) => id.includes(options.only));
const found = await measureInRounds(comparisons, { ...options, say });

say("complete lists");
const special = specialUsers(options.size);
const lists = { short: userId(special.viewers[0]), long: userId(special.longest) };
await readList(large.server, lists.long);
const short = await readList(large.server, lists.short);
const long = await readList(large.server, lists.long);
if (long.rows !== options.size.longest) throw new Error(`${long.rows} of ${options.size.longest} rows came`);
const rows = long.rows.toLocaleString("en");
const findings: Finding[] = [
  { what: `memory for a complete list of ${rows}`, value: long.grownBy, unit: "MB", goal: { atMost: 64 } },
  {
    what: `first byte of ${rows}, later than of ${short.rows}`,
    value: long.firstByteMs - short.firstByteMs,
    unit: "ms",
    goal: { atMost: 100 },
  },
  { what: `the whole list of ${rows}`, value: long.ms / 1_000, unit: "s" },
];
console.table(rowsOf(comparisons, found).map(tableLine));
console.table(findings.map(findingLine));
