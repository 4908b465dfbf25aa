import { expect } from "chai";
import { postgresUrl } from "../../support/cluster.ts";
import { brokenLines, brokenNames } from "../support/report.ts";
import { auc } from "./auc.ts";
import { timingRun } from "./timing-run.ts";

/** With so few samples chance alone comes near to it once in ten thousand runs. */
const few = { samples: 5_200, most: 0.7 };
const seed = Number(process.env.PROPERTY_SEED ?? 1);

describe("response time", function () {
  this.timeout(300_000);

  it("does not disclose who blocks whom", async () => {
    const report = await timingRun({ databaseUrl: await postgresUrl(), seed, ...few });
    expect(brokenLines(report)).to.eql([]);
  });

  it("discloses it on the mutant with an early return", async () => {
    const mutant = "an early return for who is blocked";
    const { figures } = await timingRun({ databaseUrl: await postgresUrl(), seed, ...few, mutant });
    expect(brokenNames(figures).join("\n")).to.match(/AUC.*unblockUser/);
  });

  it("is judged by the area under the curve", () => {
    expect(auc([1, 2, 3], [4, 5, 6])).to.equal(1);
    expect(auc([4, 5, 6], [1, 2, 3])).to.equal(1);
    expect(auc([1, 3], [2, 2])).to.equal(0.5);
    expect(auc([1, 1], [1, 1])).to.equal(0.5);
    expect(auc([1, 2, 4], [3, 5, 6])).to.be.closeTo(8 / 9, 1e-9);
  });
});
