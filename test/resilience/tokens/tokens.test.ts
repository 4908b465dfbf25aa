import { expect } from "chai";
import { postgresUrl } from "../../support/cluster.ts";
import { tokenRun } from "./token-run.ts";

describe("hostile tokens", function () {
  this.timeout(180_000);

  it("are refused, and no key server is flooded or missed", async () => {
    const { figures, problems } = await tokenRun({ databaseUrl: await postgresUrl(), keyIds: 1_000 });
    expect(problems).to.eql([]);
    expect(figures["hostile tokens"]).to.be.above(4 * 60);
  });

  it("would not be refused without the list of algorithms", async () => {
    const databaseUrl = await postgresUrl();
    const { problems } = await tokenRun({ databaseUrl, keyIds: 0, mutant: "any algorithm" });
    expect(problems.join("\n")).to.match(/not refused.*HS512 with the right secret/);
  });

  it("would be accepted by withdrawn keys if the age of the keys were not checked", async () => {
    const databaseUrl = await postgresUrl();
    const { problems } = await tokenRun({ databaseUrl, keyIds: 0, mutant: "keys of any age" });
    expect(problems.join("\n")).to.match(/a key that is withdrawn.*200, not 401/);
    expect(problems.join("\n")).to.match(/at the end of a long outage.*200, not 503/);
  });
});
