import { randomUUID } from "node:crypto";
import { startService } from "../../support/service.ts";

// Run as a process of its own: the whole service on a database.
const [databaseUrl = "", maxCallsInFlight = ""] = process.argv.slice(2);
const maxInFlight = { publicCalls: Number(maxCallsInFlight), internalCalls: 0 };
const service = await startService(databaseUrl, { maxInFlight });
const ids = Array.from({ length: 500 }, () => randomUUID());
const users = ids.map((id) => ({ id, userName: `user-${id}`, firstName: "F", lastName: "L" }));
await service.graph.upsertUsers({ users }, await service.acting());
const tokens = await Promise.all(ids.map(async (id) => ({ id, token: await service.userToken(id) })));
process.once("disconnect", async () => {
  await service.stop(0);
  process.exit();
});
process.send?.({ url: service.publicUrl, users: tokens });
