import { expect } from "chai";
import { ChangeLogMonitor } from "../../../src/service/change-log-monitor.ts";
import type { ChangeLogFigures } from "../../../src/store/change-log-figures.ts";
import { until } from "../../support/until.ts";

const nothing: ChangeLogFigures = { tickAge: 0, oldestChangeAge: 0, openTransaction: null, erasures: 0 };

describe("the monitor of the change log", () => {
  let figures: ChangeLogFigures;
  const monitor = () => new ChangeLogMonitor(async () => figures, 60);
  const read = async (one: ChangeLogMonitor, next: Partial<ChangeLogFigures> = {}) => {
    figures = { ...nothing, ...next };
    expect(await one.task.run(AbortSignal.any([]))).to.equal(false);
  };

  it("shows nothing before the first reading, and nothing of an empty log", async () => {
    const one = monitor();
    const empty = {
      tickAgeSeconds: 0,
      oldestChangeSeconds: 0,
      retentionSeconds: 60,
      openTransactionSeconds: 0,
      erasures: 0,
    };
    expect(one.state()).to.eql(empty);
    await read(one);
    expect(one.state()).to.eql(empty);
  });

  it("adds to the ages the time since they were read", async () => {
    const one = monitor();
    await read(one, { tickAge: 5, oldestChangeAge: 50, erasures: 2 });
    await until(() => one.state().tickAgeSeconds > 5);
    expect(one.state().oldestChangeSeconds).to.be.above(50);
    expect(one.state().erasures).to.equal(2);
  });

  it("counts for how long the same transaction is open", async () => {
    const one = monitor();
    await read(one, { openTransaction: "7" });
    await until(() => one.state().openTransactionSeconds > 0.02);
    const endedAt = performance.now();
    await read(one, { openTransaction: "7" });
    expect(one.state().openTransactionSeconds).to.be.above(0.02);
    await read(one, { openTransaction: "8" });
    const { openTransactionSeconds } = one.state();
    expect(openTransactionSeconds).to.be.at.most((performance.now() - endedAt) / 1_000);
    await read(one);
    expect(one.state().openTransactionSeconds).to.equal(0);
  });
});
