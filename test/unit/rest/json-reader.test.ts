import { create, type Message, toJson } from "@bufbuild/protobuf";
import { expect } from "chai";
import { BadRequestError } from "../../../src/rest/failure.ts";
import { type JsonObject, messageReader } from "../../../src/rest/message-json.ts";
import { everyType } from "./every-type.ts";
import { define, Type } from "./protos.ts";

const every = everyType.message("Every");
const read = messageReader(every);

function fromText(text: string): unknown {
  const message = create(every) as Message;
  read(JSON.parse(text) as JsonObject, "", message);
  return toJson(every, message);
}

describe("the JSON reader", () => {
  const good: [string, unknown][] = [
    ["{}", {}],
    ['{"text":"é\\u0000"}', { text: "é\0" }],
    ['{"flag":true}', { flag: true }],
    ['{"int32":-5}', { int32: -5 }],
    ['{"int_32":-5}', { int32: -5 }],
    ['{"color":"dark_blue"}', { color: "COLOR_DARK_BLUE" }],
    ['{"at":"2025-12-11T10:30:45.5Z"}', { at: "2025-12-11T10:30:45.500Z" }],
    [
      '{"inner":{"nameOf":"x","deep":{"numbers":[1,2]}}}',
      { inner: { nameOf: "x", deep: { numbers: [1, 2] } } },
    ],
    ['{"inner":null,"at":null,"maybeText":null}', {}],
    ['{"maybeText":"","maybeNumber":0}', { maybeText: "", maybeNumber: 0 }],
    [
      '{"manyText":["a","b"],"manyInner":[{},{"name_of":"x"}]}',
      { manyText: ["a", "b"], manyInner: [{}, { nameOf: "x" }] },
    ],
  ];
  for (const [text, message] of good)
    it(`reads ${text}`, () => expect(fromText(text)).to.deep.equal(message));

  const int32 = "must be a 32-bit integer";
  const bad: [string, string, string][] = [
    ['{"nope":1}', "unknown", "Unknown field: nope"],
    ['{"Text":"a"}', "unknown", "Unknown field: Text"],
    ['{"":1}', "unknown", "Unknown field: "],
    ['{"__proto__":{"text":"a"}}', "unknown", "Unknown field: __proto__"],
    ['{"constructor":{}}', "unknown", "Unknown field: constructor"],
    ['{"toString":1}', "unknown", "Unknown field: toString"],
    ['{"$typeName":"x"}', "unknown", "Unknown field: $typeName"],
    ['{"inner":{"__proto__":1}}', "unknown", "Unknown field: inner.__proto__"],
    ['{"manyInner":[{},{"no":1}]}', "unknown", "Unknown field: manyInner[1].no"],
    ['{"int32":1,"int_32":1}', "type_mismatch", "int32 must be given once"],
    ['{"inner":{"nameOf":"","name_of":""}}', "type_mismatch", "inner.nameOf must be given once"],
    ['{"text":1}', "type_mismatch", "text must be a string"],
    ['{"text":null}', "type_mismatch", "text must be a string"],
    ['{"text":["a"]}', "type_mismatch", "text must be a string"],
    ['{"text":"\\ud800"}', "type_mismatch", "text must be a string"],
    ['{"flag":"true"}', "type_mismatch", "flag must be true or false"],
    ['{"flag":null}', "type_mismatch", "flag must be true or false"],
    ['{"int32":"1"}', "type_mismatch", `int32 ${int32}`],
    ['{"int32":1.5}', "type_mismatch", `int32 ${int32}`],
    ['{"int32":2147483648}', "type_mismatch", `int32 ${int32}`],
    ['{"int32":1e999}', "type_mismatch", `int32 ${int32}`],
    ['{"int32":true}', "type_mismatch", `int32 ${int32}`],
    ['{"color":1}', "type_mismatch", "color must be one of red, dark_blue"],
    ['{"color":"RED"}', "type_mismatch", "color must be one of red, dark_blue"],
    ['{"color":"COLOR_RED"}', "type_mismatch", "color must be one of red, dark_blue"],
    ['{"color":"unspecified"}', "type_mismatch", "color must be one of red, dark_blue"],
    ['{"color":""}', "type_mismatch", "color must be one of red, dark_blue"],
    ['{"color":null}', "type_mismatch", "color must be one of red, dark_blue"],
    ['{"color":["red"]}', "type_mismatch", "color must be one of red, dark_blue"],
    ['{"at":1}', "type_mismatch", "at must be an RFC 3339 time"],
    ['{"at":"2025-13-11T10:30:45Z"}', "type_mismatch", "at must be an RFC 3339 time"],
    ['{"inner":[]}', "type_mismatch", "inner must be an object"],
    ['{"inner":"x"}', "type_mismatch", "inner must be an object"],
    ['{"inner":{"deep":{"numbers":[1,"2"]}}}', "type_mismatch", `inner.deep.numbers[1] ${int32}`],
    ['{"manyText":"a"}', "type_mismatch", "manyText must be an array"],
    ['{"manyText":null}', "type_mismatch", "manyText must be an array"],
    ['{"manyText":{"0":"a"}}', "type_mismatch", "manyText must be an array"],
    ['{"manyText":[null]}', "type_mismatch", "manyText[0] must be a string"],
    ['{"manyInner":[null]}', "type_mismatch", "manyInner[0] must be an object"],
  ];
  for (const [text, problem, message] of bad)
    it(`refuses ${text}`, () => {
      const refusal = capture(() => fromText(text));
      expect([refusal.problem, refusal.message]).to.deep.equal([problem, message]);
    });

  it("knows no field that the path binds", () => {
    const [text] = every.fields;
    const reader = messageReader(every, new Set(text ? [text] : []));
    expect(capture(() => reader({ text: "a" }, "", create(every) as Message)).message).to.equal(
      "Unknown field: text",
    );
  });

  it("throws for a message that contains itself", () => {
    const { message } = define({
      messages: { Node: [["next", "message:Link"]], Link: [["node", "message:Node"]] },
    });
    expect(() => messageReader(message("Node"))).to.throw(
      "message test.rest.v1.Node contains itself, which REST does not support",
    );
  });

  it("throws for bytes, 64-bit integers, floating point and members of a oneof", () => {
    const { message } = define({
      messages: {
        Raw: [["raw", Type.BYTES]],
        Long: [["long", Type.INT64]],
        Ratio: [["ratio", Type.DOUBLE]],
        Either: [["one", Type.STRING, { oneof: true }]],
      },
    });
    for (const name of ["Raw.raw", "Long.long", "Ratio.ratio", "Either.one"])
      expect(() => messageReader(message(name.split(".")[0] as string))).to.throw(
        `field test.rest.v1.${name} is of a type that REST does not support`,
      );
  });
});

function capture(run: () => unknown): BadRequestError {
  try {
    run();
  } catch (failure) {
    if (failure instanceof BadRequestError) return failure;
    throw failure;
  }
  throw new Error("it was accepted");
}
