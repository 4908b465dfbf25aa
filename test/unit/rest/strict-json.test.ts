import { expect } from "chai";
import fc from "fast-check";
import { parseStrictJson } from "../../../src/rest/request-body.ts";

describe("strict JSON", () => {
  for (const text of [
    '{"a":1,"a":1}',
    '{"a":1,"\\u0061":2}',
    '{"a":{"b":[{"c":1,"c":2}]}}',
    '[{"a":1},{"b":1,"b":2}]',
    '{"a":"b","b":1,"a":"}"}',
    '{"__proto__":1,"__proto__":2}',
    '{"":1,"":2}',
    '{"\\"":1,"\\"":2}',
  ]) {
    it(`refuses a duplicate name: ${text}`, () => {
      expect(() => parseStrictJson(text)).to.throw(SyntaxError, "twice");
    });
  }

  for (const text of [
    '{"a":"a","b":"a"}',
    '["a","a"]',
    '{"a":["a","a",{"a":1}],"b":{"a":1}}',
    '{"a":"\\"a\\":1,\\"a\\":","b":"{"}',
    '{"a":",","b":"\\\\"}',
  ]) {
    it(`accepts a repeated text that is no name: ${text}`, () => {
      expect(parseStrictJson(text)).to.eql(JSON.parse(text));
    });
  }

  it("is parsed as by JSON.parse without duplicate names", () => {
    fc.assert(
      fc.property(fc.json(), fc.nat(3), (text, indent) => {
        const value = JSON.parse(text);
        expect(parseStrictJson(JSON.stringify(value, undefined, indent))).to.eql(value);
      }),
    );
  });

  it("may be nested as deep as a body is long", () => {
    const depth = 100_000;
    const nested = (inner: string) => `${"[".repeat(depth)}${inner}${"]".repeat(depth)}`;
    expect(parseStrictJson(nested(""))).to.be.an("array");
    expect(() => parseStrictJson(nested('{"a":1,"a":1}'))).to.throw(SyntaxError, "twice");
  });

  it("must be JSON", () => {
    for (const text of ["", "{", '{"a":1,}', "{'a':1}", "NaN"])
      expect(() => parseStrictJson(text)).to.throw(SyntaxError);
  });
});
