import { expect } from "chai";
import { postgresUrl } from "../../support/cluster.ts";
import { brokenLines, brokenNames } from "../support/report.ts";
import { floodRun } from "./flood-run.ts";

// The long form bounds the canary's time, and warms up for as long as it takes; here others may use the machine.
const small = {
  scale: 0.05,
  flooders: 3,
  warmUp: { steady: 250, most: 250 },
  p99Ms: Number.POSITIVE_INFINITY,
  closeMs: 60_000,
};

describe("floods", function () {
  this.timeout(180_000);

  it("are cut off and leave other clients served, but not on the mutant without time limits", async () => {
    const [databaseUrl, other] = [await postgresUrl(), await postgresUrl()];
    const [whole, mutant] = await Promise.all([
      floodRun({ databaseUrl, ...small, fast: true }),
      floodRun({ databaseUrl: other, ...small, closeMs: 10_000, fast: false, mutant: "no time limits" }),
    ]);
    expect(brokenLines(whole)).to.eql([]);
    expect(brokenNames(mutant.figures).join("\n")).to.match(/closed after.*half-headed/);
  });
});
