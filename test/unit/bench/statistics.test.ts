import { expect } from "chai";
import { isMet, quartiles } from "../../bench/harness/statistics.ts";

describe("the statistics of the benchmark", () => {
  it("take quartiles between the nearest figures", () => {
    expect(quartiles([5, 1, 3, 2, 4])).to.eql({ lower: 2, median: 3, upper: 4 });
    expect(quartiles([1, 2, 3, 4])).to.eql({ lower: 1.75, median: 2.5, upper: 3.25 });
    expect(quartiles([7])).to.eql({ lower: 7, median: 7, upper: 7 });
  });

  it("call a goal met only when three quarters of the rounds meet it", () => {
    const found = { lower: 0.9, median: 1.1, upper: 1.3 };
    expect(isMet({ atLeast: 0.9 }, found)).to.equal(true);
    expect(isMet({ atLeast: 1 }, found)).to.equal(false);
    expect(isMet({ atMost: 1.3 }, found)).to.equal(true);
    expect(isMet({ atMost: 1.2 }, found)).to.equal(false);
  });
});
