import { expect } from "chai";
import { canStartServer } from "../../support/throwaway-server.ts";
import { newSeed } from "../support/random.ts";
import { isBroken, lineOf } from "../support/report.ts";
import { countFigures, runFairness } from "./fairness.ts";

const size = { seed: newSeed(), windows: 1, windowMs: 3_000, connections: 16 };

// The short form of `npm run test:fairness`: how long the others wait is left to the full one.
describe("a flood by one user", function () {
  this.timeout(180_000);
  before(function () {
    if (!canStartServer()) this.skip();
  });

  it("is refused beyond what the user is granted, and nobody else is", async () => {
    const figures = countFigures(await runFairness({ ...size, untilRefused: true }));
    expect(figures.filter(isBroken).map(lineOf)).to.eql([]);
  });

  it("would be let through without limits", async () => {
    const figures = countFigures(await runFairness({ ...size, mutant: "unlimited" }));
    expect(figures.filter(isBroken).map(({ name }) => name)).to.include("of these let through");
  });
});
