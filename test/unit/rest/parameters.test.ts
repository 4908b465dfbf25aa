import { create, type DescField, type Message, toJson } from "@bufbuild/protobuf";
import { expect } from "chai";
import { BadRequestError } from "../../../src/rest/failure.ts";
import { pairsOf, pathReader, queryReader } from "../../../src/rest/request-reader.ts";
import { everyType } from "./every-type.ts";

const flat = everyType.message("Flat");
const fieldNamed = (name: string) => flat.fields.find((field) => field.name === name) as DescField;

function query(text: string): unknown {
  const message = create(flat) as Message;
  queryReader(flat.fields)(text, message);
  return toJson(flat, message);
}

function refusal(run: () => unknown): [string, string] {
  try {
    run();
  } catch (failure) {
    if (failure instanceof BadRequestError) return [failure.problem, failure.message];
    throw failure;
  }
  throw new Error("it was accepted");
}

describe("query parameters", () => {
  const good: [string, unknown][] = [
    ["", {}],
    ["&&", {}],
    ["text=a", { text: "a" }],
    ["text=a%20b+c%2B%26", { text: "a b c+&" }],
    ["text=a=b", { text: "a=b" }],
    ["%74ext=a", { text: "a" }],
    ["flag=true", { flag: true }],
    ["flag=false", {}],
    ["int_32=-2147483648", { int32: -2147483648 }],
    ["int32=7", { int32: 7 }],
    ["color=dark_blue", { color: "COLOR_DARK_BLUE" }],
    ["at=2025-12-11T10:30:45%2B01:00", { at: "2025-12-11T09:30:45Z" }],
    ["many_text=a&many_text=&many_text=b", { manyText: ["a", "", "b"] }],
    ["maybe_number=0", { maybeNumber: 0 }],
  ];
  for (const [text, message] of good) it(`reads ?${text}`, () => expect(query(text)).to.deep.equal(message));

  const int32 = "int_32 must be a 32-bit integer";
  const bad: [string, string, string][] = [
    ["nope=1", "unknown", "Unknown query parameter: nope"],
    ["Text=1", "unknown", "Unknown query parameter: Text"],
    ["__proto__=1", "unknown", "Unknown query parameter: __proto__"],
    ["constructor=1", "unknown", "Unknown query parameter: constructor"],
    [`${"n".repeat(1000)}=1`, "unknown", `Unknown query parameter: ${"n".repeat(64)}`],
    ["text=a&text=a", "type_mismatch", "text must be given once"],
    ["int_32=1&int32=1", "type_mismatch", "int32 must be given once"],
    ["many_text=a&manyText=b", "type_mismatch", "manyText must be given once"],
    ["int_32=", "type_mismatch", int32],
    ["int_32", "type_mismatch", int32],
    ["int_32=x", "type_mismatch", int32],
    ["int_32=1.0", "type_mismatch", int32],
    ["int_32=1e3", "type_mismatch", int32],
    ["int_32=0x10", "type_mismatch", int32],
    ["int_32=007", "type_mismatch", int32],
    ["int_32=%2B1", "type_mismatch", int32],
    ["int_32=+1", "type_mismatch", int32],
    ["int_32=1%0A", "type_mismatch", int32],
    ["int_32=-0", "type_mismatch", int32],
    ["int_32=2147483648", "type_mismatch", int32],
    ["int32=x", "type_mismatch", "int32 must be a 32-bit integer"],
    ["many_int_32=1&many_int_32=x", "type_mismatch", "many_int_32[1] must be a 32-bit integer"],
    ["flag=TRUE", "type_mismatch", "flag must be true or false"],
    ["flag=1", "type_mismatch", "flag must be true or false"],
    ["flag", "type_mismatch", "flag must be true or false"],
    ["color=1", "type_mismatch", "color must be one of red, dark_blue"],
    ["color=RED", "type_mismatch", "color must be one of red, dark_blue"],
    ["color=COLOR_RED", "type_mismatch", "color must be one of red, dark_blue"],
    ["color=unspecified", "type_mismatch", "color must be one of red, dark_blue"],
    ["at=yesterday", "type_mismatch", "at must be an RFC 3339 time"],
    ["text=%ff", "type_mismatch", "The query must be percent-encoded UTF-8"],
    ["text=%", "type_mismatch", "The query must be percent-encoded UTF-8"],
    ["%ff=1", "type_mismatch", "The query must be percent-encoded UTF-8"],
  ];
  for (const [text, problem, message] of bad)
    it(`refuses ?${text.slice(0, 60)}`, () =>
      expect(refusal(() => query(text))).to.deep.equal([problem, message]));

  it("returns the fields that were given", () => {
    const given = queryReader(flat.fields)("int32=0&many_text=a", create(flat) as Message);
    expect([...given].map(({ name }) => name)).to.deep.equal(["int_32", "many_text"]);
  });

  it("cannot be messages", () => {
    const every = everyType.message("Every");
    expect(() => queryReader(every.fields)).to.throw(
      "field test.rest.v1.Every.inner is a message and cannot be a parameter",
    );
  });

  it("come as decoded pairs", () => {
    expect(pairsOf("a=1&b&a=%C3%A9")).to.deep.equal([
      ["a", "1"],
      ["b", ""],
      ["a", "é"],
    ]);
  });
});

describe("path parameters", () => {
  function path(...segments: string[]): unknown {
    const message = create(flat) as Message;
    pathReader([fieldNamed("text"), fieldNamed("int_32")].slice(0, segments.length))(segments, message);
    return toJson(flat, message);
  }

  const good: [string, string][] = [
    ["a", "a"],
    ["a+b", "a+b"],
    ["%C3%A9%20", "é "],
    ["%252F", "%2F"],
    ["..", ".."],
    ["%2E%2E", ".."],
    ["%23%3F%3a", "#?:"],
    ["a".repeat(128), "a".repeat(128)],
    ["%61".repeat(128), "a".repeat(128)],
  ];
  for (const [segment, text] of good)
    it(`reads ${segment.slice(0, 40)}`, () => expect(path(segment)).to.deep.equal({ text }));

  it("come in the order of the path", () => expect(path("a", "2")).to.deep.equal({ text: "a", int32: 2 }));

  const bad: [string, string][] = [
    ["%2F", "text must not contain %2F or %00"],
    ["a%2fb", "text must not contain %2F or %00"],
    ["%00", "text must not contain %2F or %00"],
    ["a%00", "text must not contain %2F or %00"],
    ["%", "text must be percent-encoded UTF-8"],
    ["%4", "text must be percent-encoded UTF-8"],
    ["%zz", "text must be percent-encoded UTF-8"],
    ["%ff", "text must be percent-encoded UTF-8"],
    ["%C0%AF", "text must be percent-encoded UTF-8"],
    ["%ED%A0%80", "text must be percent-encoded UTF-8"],
    ["a".repeat(129), "text must have at most 128 characters"],
    ["%61".repeat(129), "text must have at most 128 characters"],
  ];
  for (const [segment, message] of bad)
    it(`refuses ${segment.slice(0, 40)}`, () =>
      expect(refusal(() => path(segment))).to.deep.equal(["type_mismatch", message]));

  it("refuses a number that is none", () =>
    expect(refusal(() => path("a", "b"))[1]).to.equal("int32 must be a 32-bit integer"));

  it("cannot be repeated", () =>
    expect(() => pathReader([fieldNamed("many_text")])).to.throw(
      "field test.rest.v1.Flat.many_text is repeated and cannot be part of a path",
    ));
});
