import { expect } from "chai";
import { canStartServer } from "../../support/throwaway-server.ts";
import { newSeed } from "../support/random.ts";
import { brokenLines, brokenNames } from "../support/report.ts";
import { countFigures, runFairness } from "./fairness.ts";

const size = { seed: newSeed(), windows: 1, windowMs: 3_000, connections: 16 };

// The short form of `npm run test:fairness`: the full one also measures how long the others wait.
describe("a flood by one user", function () {
  this.timeout(180_000);
  before(function () {
    if (!canStartServer()) this.skip();
  });

  it("is refused beyond the limit of that user, and no other user is refused", async () => {
    const figures = countFigures(await runFairness({ ...size, untilRefused: true }));
    expect(brokenLines({ figures })).to.eql([]);
  });

  it("is let through on the mutant without limits", async () => {
    const figures = countFigures(await runFairness({ ...size, mutant: "unlimited" }));
    expect(brokenNames(figures)).to.include("of these let through");
  });
});
