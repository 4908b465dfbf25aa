import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { runMocha } from "../support/run-mocha.ts";

describe("a process of npm test", function () {
  this.timeout(60_000);
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "privacy-control-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const cases: [what: string, script: string, counts: [passing: number, failing: number, pending: number]][] =
    [
      ["its tests", 'it("a", () => {}); it("b"); it("c", () => { throw new Error(); });', [1, 1, 1]],
      ["a file that cannot be loaded", 'throw new Error("no");', [0, 1, 0]],
      ["an end amid the tests", 'it("a", () => {}); it("b", () => process.exit(0));', [0, 1, 0]],
      [
        "a result that is followed by a failure",
        'it("a", () => process.on("exit", () => process.exit(3)));',
        [1, 1, 0],
      ],
    ];
  for (const [what, script, [passing, failing, pending]] of cases) {
    it(`counts ${what}`, async () => {
      const file = join(folder, `${passing}${failing}${pending}-${script.length}.mjs`);
      writeFileSync(file, script);
      const run = runMocha([file]);
      let output = "";
      await run.show((chunk) => {
        output += chunk;
      });
      expect(await run.outcome, output).to.eql({ passing, failing, pending });
    });
  }
});
