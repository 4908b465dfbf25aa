import { Coalescer } from "../../../src/service/coalescer.ts";
import { noInFlightLimits, startService } from "../../support/service.ts";
import { callers, populate } from "./population.ts";

// Run as a process of its own: the whole service on a database, with people in it.
const [databaseUrl = "", publicCalls = "", internalCalls = ""] = process.argv.slice(2);
const maxInFlight = {
  ...noInFlightLimits,
  publicCalls: Number(publicCalls),
  internalCalls: Number(internalCalls),
};
// Without limits there is none for what waits either.
if (maxInFlight.internalCalls === 0) Object.defineProperty(Coalescer.prototype, "full", { value: false });
const service = await startService(databaseUrl, { maxInFlight });
await populate(databaseUrl);
const { publicUrl, internalUrl, adminUrl } = service;
const userTokens = await Promise.all(callers.map((id) => service.userToken(id)));
process.once("disconnect", async () => {
  await service.stop(0);
  process.exit();
});
process.send?.({ publicUrl, internalUrl, adminUrl, userTokens, serviceToken: await service.serviceToken() });
