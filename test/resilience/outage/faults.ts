import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import pg from "pg";
import type { ThrowawayServer } from "../../support/throwaway-server.ts";
import type { Instance } from "../support/instance.ts";
import { openClient } from "../support/pair-client.ts";
import { freezeServer, killServer } from "../support/server-faults.ts";

/** More calls than an instance has connections, each with a rest before it is made again. */
const hotCalls = 40;
const restMs = 25;

/** Takes the database away in some way, and returns what brings it back. */
export type Fault = (server: ThrowawayServer, instance: Instance) => Promise<() => Promise<void>>;

/** The ways in which a database can be away. */
export const faults: Record<string, Fault> = {
  async killed(server) {
    await killServer(server);
    return () => server.restart();
  },
  async frozen(server) {
    const thaw = await freezeServer(server);
    return async () => thaw();
  },
  "table locked": async (server) => {
    const admin = await connect(server);
    await admin.query("begin; lock table blocks");
    return () => admin.end();
  },
  // More calls wait for its lock than there are connections; other calls must not notice.
  "pair locked": async (server, instance) => {
    const users = [randomUUID(), randomUUID()] as const;
    const client = openClient(instance);
    await client.addUsers(users);
    const admin = await connect(server);
    await admin.query("begin");
    await admin.query("select pg_advisory_xact_lock(hashtextextended($1, 0))", [users.toSorted().join(":")]);
    let over = false;
    const callers = Array.from({ length: hotCalls }, async () => {
      while (!over) {
        await client.act("block", users[0], users[1]);
        await setTimeout(restMs);
      }
    });
    return async () => {
      over = true;
      await admin.end();
      void Promise.all(callers).then(() => client.close());
    };
  },
};

/** The faults in which decisions are still answered, and the instance stays ready. */
export const readyFaults: ReadonlySet<string> = new Set(["pair locked"]);

async function connect(server: ThrowawayServer): Promise<pg.Client> {
  const admin = new pg.Client({ connectionString: server.url });
  await admin.connect();
  return admin;
}
