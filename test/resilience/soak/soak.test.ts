import { expect } from "chai";
import { canStartServer } from "../../support/throwaway-server.ts";
import { newSeed } from "../support/random.ts";
import { brokenLines, brokenNames } from "../support/report.ts";
import { leakFigures, runSoak } from "./soak.ts";

const size = { seed: newSeed(), callers: 12, calibrateMs: 1_000, samples: 12, sampleMs: 0, sampleCalls: 300 };

// The short form of `npm run test:soak`.
describe("a steady load", function () {
  this.timeout(180_000);
  before(function () {
    if (!canStartServer()) this.skip();
  });

  it("leaks no memory and no files", async () => {
    const figures = leakFigures(await runSoak(size));
    expect(brokenLines({ figures })).to.eql([]);
  });

  it("is found to leak by the mutant that keeps 1 KB a call", async () => {
    const figures = leakFigures(await runSoak({ ...size, mutant: "leaky" }));
    expect(brokenNames(figures)).to.eql(["heap after collection, bytes a call"]);
  });
});
