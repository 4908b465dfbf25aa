import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { mutantNames, runs } from "./runs.ts";
import { mutants } from "./support/mutants.ts";

describe("the resilience runs", function () {
  this.timeout(30_000);

  it("have a mutant each, and every mutant has a run", () => {
    const named = Object.keys(runs).flatMap((name) => {
      expect(mutantNames(name), name).not.to.eql([]);
      return mutantNames(name);
    });
    // The first has no run of its own but a test, the other one changes the database instead of the service.
    expect([...named, "no scope check"]).to.have.members([...Object.keys(mutants), "unlocked"]);
  });

  it("refuse an unknown mutant", () => {
    const script = fileURLToPath(new URL("./main.ts", import.meta.url));
    const { status, stderr } = spawnSync(process.execPath, [script, "race", "--mutant", "unlcoked"], {
      encoding: "utf8",
    });
    expect(status).to.equal(1);
    expect(stderr).to.include("race has no mutant unlcoked: only unlocked");
  });
});
