import { expect } from "chai";
import { HttpLoad } from "./overload/http-load.ts";
import { measureOverload } from "./overload/measure.ts";
import { startLoaded } from "./overload/start-service.ts";

describe("a service of which four times as much is asked as it can do", () => {
  it("does what it can in time, refuses the rest at once, and is well again soon", async () => {
    await using service = await startLoaded(new URL("./overload/slow-service.ts", import.meta.url), ["20"]);
    const load = new HttpLoad(service.url, () => "GET /users/me/privacy HTTP/1.1\r\nhost: localhost\r\n\r\n");
    const report = await measureOverload(load, { width: 16, peakMs: 1_000, overloadMs: 3_000 });
    load.close();
    const told = JSON.stringify(report);
    expect(report.good / report.peak, told).to.be.at.least(0.8);
    expect(report.refused / report.offered, told).to.be.within(0.6, 0.9);
    expect(report.refusedMedianMs, told).to.be.at.most(50);
    expect(report.refusedWithoutRetryAfter, told).to.equal(0);
    expect(report.other, told).to.equal(0);
    expect(report.recoveryMs, told).to.be.at.most(2_000);
  });
});
