import { expect } from "chai";
import { canStartServer } from "../../support/throwaway-server.ts";
import { brokenLines, brokenNames } from "../support/report.ts";
import { deadlineFigures, runDeadlines } from "./deadlines.ts";

/** Other tests use the machine: the full run has the promised bounds. */
const slack = 5;
const size = { calls: 100, atOnce: 50 };

// The short form of `npm run test:deadlines`.
describe("deadlines and resets of calls", function () {
  this.timeout(180_000);
  before(function () {
    if (!canStartServer()) this.skip();
  });

  it("cancel the statements", async () => {
    const figures = deadlineFigures(await runDeadlines(size), slack);
    expect(brokenLines({ figures })).to.eql([]);
  });

  it("leave statements under way on the mutant that cancels nothing", async () => {
    const figures = deadlineFigures(
      await runDeadlines({ calls: 1, atOnce: 20, mutant: "uncancelled" }),
      slack,
    );
    expect(brokenNames(figures)).to.include("last statement ended after, ms");
  });
});
