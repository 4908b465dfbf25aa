import { expect } from "chai";
import { postgresUrl } from "./cluster.ts";

// Run by mocha as a process of its own: a test file that takes a database or is skipped.
describe("a test on PostgreSQL", () => {
  before(async function () {
    if ((await postgresUrl()) === undefined) this.skip();
  });

  it("runs", () => expect(true).to.equal(true));
});
