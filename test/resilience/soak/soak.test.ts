import { expect } from "chai";
import { canStartServer } from "../../support/throwaway-server.ts";
import { newSeed } from "../support/random.ts";
import { isBroken, lineOf } from "../support/report.ts";
import { leakFigures, runSoak } from "./soak.ts";

const size = { seed: newSeed(), callers: 12, calibrateMs: 1_000, samples: 12, sampleMs: 0, sampleCalls: 300 };

// The short form of `npm run test:soak`.
describe("a steady load", function () {
  this.timeout(180_000);
  before(function () {
    if (!canStartServer()) this.skip();
  });

  it("leaves nothing behind", async () => {
    const figures = leakFigures(await runSoak(size));
    expect(figures.filter(isBroken).map(lineOf)).to.eql([]);
  });

  it("would leave 1 KB a call behind if something kept it", async () => {
    const figures = leakFigures(await runSoak({ ...size, mutant: "leaky" }));
    expect(figures.filter(isBroken).map(({ name }) => name)).to.eql(["heap after collection, bytes a call"]);
  });
});
