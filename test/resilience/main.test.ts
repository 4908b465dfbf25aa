import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { runs, teeth } from "./runs.ts";

describe("the runs of faults", function () {
  this.timeout(30_000);

  it("have a mutant each", () => {
    expect(Object.keys(teeth).toSorted()).to.eql(Object.keys(runs).toSorted());
  });

  it("take no mutant that there is not", () => {
    const script = fileURLToPath(new URL("./main.ts", import.meta.url));
    const { status, stderr } = spawnSync(process.execPath, [script, "race", "--mutant", "unlcoked"], {
      encoding: "utf8",
    });
    expect(status).to.equal(1);
    expect(stderr).to.include("race has no mutant unlcoked: only unlocked");
  });
});
