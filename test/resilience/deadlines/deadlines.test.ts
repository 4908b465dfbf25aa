import { expect } from "chai";
import { canStartServer } from "../../support/throwaway-server.ts";
import { isBroken, lineOf } from "../support/report.ts";
import { deadlineFigures, runDeadlines } from "./deadlines.ts";

/** The machine has other tests to run: the full form holds the figures themselves. */
const slack = 5;
const size = { calls: 100, atOnce: 50 };

// The short form of `npm run test:deadlines`.
describe("deadlines and resets", function () {
  this.timeout(180_000);
  before(function () {
    if (!canStartServer()) this.skip();
  });

  it("reach the statements", async () => {
    const figures = deadlineFigures(await runDeadlines(size), slack);
    expect(figures.filter(isBroken).map(lineOf)).to.eql([]);
  });

  it("would not reach them if nothing cancelled them", async () => {
    const figures = deadlineFigures(
      await runDeadlines({ calls: 1, atOnce: 20, mutant: "uncancelled" }),
      slack,
    );
    expect(figures.filter(isBroken).map(({ name }) => name)).to.include("last statement gone after, ms");
  });
});
