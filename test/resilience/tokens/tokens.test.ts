import { expect } from "chai";
import { postgresUrl } from "../../support/cluster.ts";
import { brokenLines } from "../support/report.ts";
import { tokenRun } from "./token-run.ts";

describe("hostile tokens", function () {
  this.timeout(180_000);

  it("are refused, and the key server is asked neither too often nor too seldom", async () => {
    const report = await tokenRun({ databaseUrl: await postgresUrl(), keyIds: 1_000 });
    expect(brokenLines(report)).to.eql([]);
  });

  it("are accepted by the mutant without the list of algorithms", async () => {
    const databaseUrl = await postgresUrl();
    const report = await tokenRun({ databaseUrl, keyIds: 0, mutant: "any algorithm" });
    expect(brokenLines(report).join("\n")).to.match(/not refused.*HS512 with the right secret/);
  });

  it("are accepted by withdrawn keys on the mutant whose keys never grow old", async () => {
    const databaseUrl = await postgresUrl();
    const report = await tokenRun({ databaseUrl, keyIds: 0, mutant: "keys of any age" });
    const lines = brokenLines(report).join("\n");
    expect(lines).to.match(/a key that is withdrawn.*200, not 401/);
    expect(lines).to.match(/at the end of a long outage.*200, not 503/);
  });
});
