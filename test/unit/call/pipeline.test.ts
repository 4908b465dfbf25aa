import { expect } from "chai";
import { pino } from "pino";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { CallPipeline } from "../../../src/call/pipeline.ts";
import { service } from "../../../src/call/service.ts";
import { AdaptiveConcurrencyLimiter } from "../../../src/overload/adaptive-concurrency-limiter.ts";

describe("the admission of a call", () => {
  it("holds no slot for a token whose check waits for the key server", async () => {
    const log = pino({ level: "silent" });
    const limiter = new AdaptiveConcurrencyLimiter(1, log);
    const keys = Promise.withResolvers<void>();
    const calls = new CallPipeline({
      services: [service(PrivacyControlService, {})],
      authenticate: () => keys.promise,
      limiter,
      log,
    });
    const method = PrivacyControlService.method.getPrivacySettings;
    expect(calls.tryAdmit(method, "rest")).to.equal(true);
    const start = { requestMethod: "GET", url: "/", requestHeader: {}, peer: () => undefined };
    const call = calls.begin(calls.newContext({ kind: "unary", method, impl: () => ({}) }, "rest", start));
    const authenticated = calls.authenticate(call);
    expect(calls.tryAdmit(method, "rest")).to.equal(false);
    while (!calls.tryAdmit(method, "rest")) await new Promise(setImmediate);
    keys.resolve();
    await authenticated;
    call.end();
  });
});
