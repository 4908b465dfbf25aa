import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { triggerMutants } from "./changes/trigger-mutants.ts";
import { mutants as consistencyMutants } from "./consistency/ways.ts";
import { mutantNames, runs } from "./runs.ts";
import { mutants } from "./support/mutants.ts";

describe("the resilience runs", function () {
  this.timeout(180_000);

  it("have a mutant each, and every mutant has a run", () => {
    const named = Object.keys(runs).flatMap((name) => {
      expect(mutantNames(name), name).not.to.eql([]);
      return mutantNames(name);
    });
    // The first has no run of its own but a test, the second takes out no protection; of the others some change the database
    // or the question instead of the service.
    expect([...named, "no scope check", "pages of ten changes"]).to.have.members([
      ...Object.keys(mutants),
      ...Object.keys(triggerMutants),
      ...Object.keys(consistencyMutants),
      "unlocked",
    ]);
  });

  it("are described in docs/resilience.md, each with its mutants", () => {
    const rows = [
      ...readFileSync("docs/resilience.md", "utf8").matchAll(
        /^\| `([\w-]+)` \(.*\) \| .+ \| .+ \| ([^|]+) \|$/gm,
      ),
    ];
    const described = rows.map(([, name, cell = ""]) => [
      name,
      [...cell.matchAll(/`([^`]+)`/g)].map(([, mutant]) => mutant),
    ]);
    expect(described).to.have.deep.members(Object.keys(runs).map((name) => [name, mutantNames(name)]));
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
