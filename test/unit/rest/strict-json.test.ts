import { expect } from "chai";
import fc from "fast-check";
import { parseStrictJson } from "../../../src/rest/request-body.ts";

describe("the text of a JSON body", () => {
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
    it(`has no name twice: ${text}`, () => {
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
    it(`may have a text twice that is no name: ${text}`, () => {
      expect(parseStrictJson(text)).to.eql(JSON.parse(text));
    });
  }

  it("is read as JSON.parse reads it when no name is there twice", () => {
    fc.assert(
      fc.property(fc.json(), fc.nat(3), (text, indent) => {
        const value = JSON.parse(text);
        expect(parseStrictJson(JSON.stringify(value, undefined, indent))).to.eql(value);
      }),
    );
  });

  it("must be JSON", () => {
    for (const text of ["", "{", '{"a":1,}', "{'a':1}", "NaN"])
      expect(() => parseStrictJson(text)).to.throw(SyntaxError);
  });
});
