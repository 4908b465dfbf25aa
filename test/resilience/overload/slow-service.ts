import { pino } from "pino";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { CallPipeline } from "../../../src/call/pipeline.ts";
import { service } from "../../../src/call/service.ts";
import { openPublicListener } from "../../../src/http/listeners.ts";
import { AdaptiveConcurrencyLimiter } from "../../../src/overload/adaptive-concurrency-limiter.ts";
import { renderFailure } from "../../../src/rest/envelopes.ts";
import { createRestGateway } from "../../../src/rest/gateway.ts";
import { sleep } from "./load.ts";

// Run as a process of its own: a service that can do 200 calls a second, however fast the machine is.
const [maxCallsInFlight = ""] = process.argv.slice(2);
const slots = 4;
const workMs = 20;

let working = 0;
const waiting: (() => void)[] = [];
async function work(): Promise<void> {
  if (working === slots) await new Promise<void>((resolve) => waiting.push(resolve));
  else working += 1;
  await sleep(workMs);
  const next = waiting.shift();
  if (next === undefined) working -= 1;
  else next();
}

const log = pino({ level: "silent" });
const calls = new CallPipeline({
  services: [
    service(PrivacyControlService, { getPrivacySettings: () => work().then(() => ({ settings: {} })) }),
  ],
  authenticate: async () => {},
  log,
  limiter: new AdaptiveConcurrencyLimiter(Number(maxCallsInFlight), log),
});
const rest = createRestGateway({ calls, log, maxBodyBytes: 1_024 });
const { url } = await openPublicListener({
  ...{ host: "127.0.0.1", port: 0, calls, renderFailure, log },
  rest: rest.handle,
  ready: () => true,
});
process.once("disconnect", () => process.exit());
process.send?.({ url });
