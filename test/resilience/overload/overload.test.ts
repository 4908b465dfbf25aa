import { expect } from "chai";
import { HttpLoad } from "./http-load.ts";
import { measureOverload } from "./measure.ts";
import { startLoaded } from "./start-service.ts";

/** Others may use the machine: `npm run test:overload` holds 80% of the best, 50 ms and 2 s themselves. */
const slack = { share: 0.5, refusedMs: 250, recoveryMs: 10_000 };
/** How many calls are taken at once: what the service can do in time, and far more. */
const limits = [20, 1_000];

for (const limit of limits)
  describe(`a service of which four times as much is asked as it can do, and which may take ${limit} at once`, () => {
    it("does what it can in time, refuses the rest at once, and is well again soon", async () => {
      const script = new URL("./slow-service.ts", import.meta.url);
      await using service = await startLoaded<{ url: string }>(script, [String(limit)]);
      const load = new HttpLoad(
        service.url,
        () => "GET /users/me/privacy HTTP/1.1\r\nhost: localhost\r\n\r\n",
      );
      const measured = await measureOverload(load, { width: 16, peakMs: 1_000, overloadMs: 5_000 });
      load.close();
      const { all: report, offered, recoveryMs } = measured;
      const told = JSON.stringify(measured);
      expect(report.good / report.peak, told).to.be.at.least(slack.share);
      expect(report.refused / offered, told).to.be.within(0.5, 0.9);
      expect(report.refusedMedianMs, told).to.be.at.most(slack.refusedMs);
      expect(report.refusedWithoutRetryAfter, told).to.equal(0);
      expect(report.other, told).to.equal(0);
      expect(recoveryMs, told).to.be.at.most(slack.recoveryMs);
    });
  });
