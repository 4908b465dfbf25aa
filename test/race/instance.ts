import { startService } from "../support/service.ts";
import type { Instance } from "./pair-client.ts";

// Run as a process of its own: serves the database of a URL until its parent is gone.
const service = await startService(process.argv[2]);
const instance: Instance = { url: service.internalUrl, token: await service.serviceToken() };
process.once("disconnect", async () => {
  await service.stop(0);
  process.exit();
});
process.send?.(instance);
