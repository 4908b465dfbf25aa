import { fork } from "node:child_process";
import { once } from "node:events";
import { expect } from "chai";
import { HttpLoad } from "./http-load.ts";
import { measureOverload } from "./measure.ts";

/** Others may use the machine: `npm run test:overload` has the promised bounds. */
const slack = { share: 0.5, refusedMs: 250, recoveryMs: 10_000 };
/** How many calls are taken at once: what the service can do in time, and far more. */
const limits = [20, 1_000];

for (const limit of limits)
  describe(`a service under four times its capacity, with a limit of ${limit} calls in flight`, () => {
    it("answers half of its best or more, refuses the rest at once, and recovers", async () => {
      const script = new URL("./slow-service.ts", import.meta.url);
      const service = fork(script, [String(limit)]);
      using _end = { [Symbol.dispose]: () => service.disconnect() };
      const [{ url }] = await once(service, "message");
      const load = new HttpLoad(url, () => "GET /users/me/privacy HTTP/1.1\r\nhost: localhost\r\n\r\n");
      const measured = await measureOverload(load, { width: 16, peakMs: 1_000, overloadMs: 5_000 });
      load.close();
      const { all: report, offered, recoveryMs } = measured;
      const found = JSON.stringify(measured);
      expect(report.good / report.peak, found).to.be.at.least(slack.share);
      expect(report.refused / offered, found).to.be.within(0.5, 0.9);
      expect(report.refusedMedianMs, found).to.be.at.most(slack.refusedMs);
      expect(report.refusedWithoutRetryAfter, found).to.equal(0);
      expect(report.other, found).to.equal(0);
      expect(recoveryMs, found).to.be.at.most(slack.recoveryMs);
    });
  });
