import { fork } from "node:child_process";
import { once } from "node:events";
import { parseArgs } from "node:util";
import { startThrowawayServer } from "../support/throwaway-server.ts";
import type { Instance } from "./pair-client.ts";
import { race } from "./race.ts";
import { newSeed } from "./random.ts";
import { withoutPairLock } from "./unlocked.ts";

// The long form of the race test, on a server of its own: `npm run test:race -- --operations 100000`.

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(newSeed()) },
    operations: { type: "string", default: "100000" },
    clients: { type: "string", default: "64" },
    users: { type: "string", default: "12" },
    "cut-every": { type: "string", default: "500" },
    unlocked: { type: "boolean", default: false },
  },
});
const seed = Number(values.seed);
console.log(`seed              ${seed}`);

await using opened = new AsyncDisposableStack();
const server = await startThrowawayServer();
opened.defer(() => server.stop());

/** Starts an instance of the service as a process of its own. */
async function startInstance(url: string): Promise<Instance> {
  const child = fork(new URL("./instance.ts", import.meta.url), [url]);
  opened.defer(async () => {
    if (child.exitCode !== null) return;
    const exit = once(child, "exit");
    child.disconnect();
    await exit;
  });
  const exit = once(child, "exit").then(([code]) => {
    throw new Error(`an instance ended with ${code}`);
  });
  exit.catch(() => {});
  const [instance] = await Promise.race([once(child, "message"), exit]);
  return instance;
}

const first = await startInstance(server.url);
const url = values.unlocked ? await withoutPairLock(server.url) : server.url;
const instances = values.unlocked
  ? [await startInstance(url), await startInstance(url)]
  : [first, await startInstance(url)];

const { operations, lost, seconds, pairs, violations, across } = await race({
  seed,
  instances,
  databaseUrl: server.url,
  operations: Number(values.operations),
  clients: Number(values.clients),
  users: Number(values.users),
  cutEvery: Number(values["cut-every"]),
});

const good = violations.length === 0 && across === 0;
console.log(`operations        ${operations}, of unknown outcome ${lost}
operations/s      ${Math.round(operations / seconds)}
pairs             ${pairs}
non-linearizable  ${violations.length}
across a block    ${across}
verdict           ${good ? "linearizable" : "NOT linearizable"}`);
for (const violation of violations.slice(0, 3)) console.log(violation);
process.exitCode = good ? 0 : 1;
