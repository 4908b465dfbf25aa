import { expect } from "chai";
import { postgresUrl } from "../../support/cluster.ts";
import { startInstance } from "../support/instance.ts";
import { methods, nameOf, requiredScopes } from "../support/methods.ts";
import { tryEverything } from "./authorization.ts";

describe("authorization", function () {
  this.timeout(180_000);

  it("is listed for every method, and for no other", () => {
    expect(methods.map(nameOf)).to.have.members(Object.keys(requiredScopes));
  });

  it("is enforced by every route and RPC, on both listeners, in every protocol", async () => {
    await using instance = await startInstance({ database: await postgresUrl() });
    const { calls, unexpected } = await tryEverything(instance);
    expect(unexpected).to.eql([]);
    expect(calls).to.be.above(1_500);
    expect(instance.faults).to.eql([]);
  });

  it("is not enforced by the mutant without the check of scopes", async () => {
    const databaseUrl = await postgresUrl();
    await using instance = await startInstance({ database: databaseUrl, mutant: "no scope check" });
    const { unexpected } = await tryEverything(instance);
    // What they are answered depends on what those before them have changed.
    for (const line of unexpected) expect(line).to.match(/^a service without .*, not PermissionDenied$/);
    const scoped = methods.map(nameOf).filter((name) => requiredScopes[name] !== null);
    for (const name of scoped)
      expect(
        unexpected.some((line) => line.includes(`${name} by`)),
        name,
      ).to.be.true;
  });
});
