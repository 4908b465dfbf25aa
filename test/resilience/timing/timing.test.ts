import { expect } from "chai";
import { postgresUrl } from "../../support/cluster.ts";
import { auc } from "./auc.ts";
import { timingRun } from "./timing-run.ts";

/** With so few samples chance alone comes near to it once in ten thousand runs. */
const few = { samples: 2_400, most: 0.7 };
const seed = Number(process.env.PROPERTY_SEED ?? 1);

describe("the time of an answer", function () {
  this.timeout(180_000);

  it("does not tell who blocks whom", async () => {
    const { problems } = await timingRun({ databaseUrl: await postgresUrl(), seed, ...few });
    expect(problems).to.eql([]);
  });

  it("would tell it by an early return", async () => {
    const mutant = "an early return for who is blocked";
    const { problems } = await timingRun({ databaseUrl: await postgresUrl(), seed, ...few, mutant });
    expect(problems.join("\n")).to.match(/told apart.*unblockUser/);
  });

  it("is judged by the area under the curve", () => {
    expect(auc([1, 2, 3], [4, 5, 6])).to.equal(1);
    expect(auc([4, 5, 6], [1, 2, 3])).to.equal(1);
    expect(auc([1, 3], [2, 2])).to.equal(0.5);
    expect(auc([1, 1], [1, 1])).to.equal(0.5);
    expect(auc([1, 2, 4], [3, 5, 6])).to.be.closeTo(8 / 9, 1e-9);
  });
});
