import { startApp } from "../../src/app.ts";
import { service } from "../../src/call/service.ts";
import { readConfig } from "../../src/config/config.ts";
import { createLog } from "../../src/log.ts";
import { emptyService } from "./empty-service.ts";
import { announce } from "./peers/serve.ts";

// The service as `npm start` runs it in production, and one method more that does nothing.
const config = readConfig(process.env);
const app = await startApp(config, {
  log: createLog(config.logLevel),
  furtherServices: [service(emptyService, { empty: () => ({}) })],
});
const portOf = (url: string) => Number(new URL(url).port);
announce({ http: portOf(app.publicUrl), grpc: portOf(app.internalUrl), admin: portOf(app.adminUrl) });
