import { expect } from "chai";
import fc from "fast-check";
import { authorityCheck } from "../../../src/http/normalize-request.ts";

describe("the authority check", () => {
  for (const good of [
    "localhost",
    "localhost:7001",
    "127.0.0.1:1",
    "[::1]",
    "[::1]:80",
    "a.example",
    "A.Example:443",
  ]) {
    it(`takes ${good}, again and again`, () => {
      const check = authorityCheck();
      expect([check(good), check(good)]).to.eql([true, true]);
    });
  }

  for (const bad of [
    undefined,
    "",
    "[",
    "[::1",
    "x:99999",
    "x:y",
    ":80",
    "a b",
    "a/b",
    "a\\b",
    "a?b",
    "a#b",
    "u@h",
    "u:p@h",
  ]) {
    it(`refuses ${bad}`, () => {
      const check = authorityCheck();
      check("localhost");
      expect(check(bad)).to.equal(false);
    });
  }

  it("takes nothing that cannot be in a URL", () => {
    const check = authorityCheck();
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (authority) => {
        if (check(authority)) expect(new URL("/path", `http://${authority}`).pathname).to.equal("/path");
      }),
    );
  });
});
