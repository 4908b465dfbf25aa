import { join } from "node:path";
import pg from "pg";
import { openDatabase } from "../../src/store/database.ts";
import { startThrowawayServer } from "../support/throwaway-server.ts";
import { loadData } from "./data/load.ts";
import { serverSettings } from "./harness/database.ts";
import { moveToCore, otherCore } from "./harness/machine.ts";
import { startServer } from "./harness/processes.ts";
import { rowsOf, tableLine } from "./harness/results.ts";
import { measureInRounds } from "./harness/rounds.ts";
import { beginBenchmark } from "./options.ts";
import { changesCostRows } from "./rows/changes-cost.ts";
import { mintServiceToken, mintUserToken, startByTables } from "./setting.ts";

const { options, folder, say } = beginBenchmark(
  "bench:changes-cost",
  "Measures what the change log costs those who write, each kind of database on its\nown, in alternating rounds.",
);

await using parts = new AsyncDisposableStack();
const postgres = await startThrowawayServer({ settings: serverSettings });
parts.defer(() => postgres.stop());

const template = await openDatabase({ url: postgres.url });
await template.migrate();
await template.close();
const loader = new pg.Client(postgres.url);
await loader.connect();
await loadData(loader, options.size, (what) => say(`data: ${what}`));
const { rows: logged } = await loader.query<{ name: string }>(
  "select distinct tgrelid::regclass::text as name from pg_trigger where not tgisinternal",
);
await loader.end();

const urlOf = (database: string) => new URL(`/${database}`, postgres.url).href;
const admin = new pg.Client(urlOf("template1"));
await admin.connect();
parts.defer(() => admin.end());

async function startInstance(name: string) {
  say(`database: ${name}`);
  await admin.query(`create database ${name} template postgres`);
  const client = new pg.Client(urlOf(name));
  await client.connect();
  parts.defer(() => client.end());
  if (name === "unlogged")
    for (const table of logged) await client.query(`alter table ${table.name} disable trigger user`);
  const server = await startByTables(urlOf(name), join(folder, `${name}.log`));
  parts.defer(() => server.stop());
  return { server, client };
}

const instances = {
  unlogged: await startInstance("unlogged"),
  logged: await startInstance("logged"),
  watched: await startInstance("watched"),
};
await moveToCore(postgres.pid(), otherCore);
const serviceToken = await mintServiceToken();
const internalUrl = `http://127.0.0.1:${instances.watched.server.ports.grpc}`;
const watcher = await startServer(
  "test/bench/load/watch-changes.ts",
  [internalUrl, serviceToken],
  join(folder, "watcher.log"),
);
parts.defer(() => watcher.stop());
await moveToCore(watcher.pid, otherCore);

const comparisons = (
  await changesCostRows({ folder, serviceToken, userToken: mintUserToken }, instances, options.size)
).filter(({ id }) => id.includes(options.only));
const found = await measureInRounds(comparisons, { ...options, say });
watcher.checkLog();
for (const [name, { client }] of Object.entries(instances)) {
  const { rows } = await client.query<{ count: number }>("select count(*)::int as count from changes");
  const count = rows[0]?.count ?? 0;
  if ((count === 0) !== (name === "unlogged")) throw new Error(`${count} changes are logged in ${name}`);
}
console.table(rowsOf(comparisons, found).map(tableLine));
