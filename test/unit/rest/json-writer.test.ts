import {
  create,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Message,
  type MessageInitShape,
  toJson,
} from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import fc from "fast-check";
import {
  type Audience,
  BlockSchema,
  MuteSchema,
  PrivacySettingsSchema,
} from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import { isoSeconds } from "../../../src/rest/codec.ts";
import { fieldWriter, messageWriter } from "../../../src/rest/message-json.ts";
import { everyType } from "./every-type.ts";
import { define, Type } from "./protos.ts";

const every = everyType.message("Every");

describe("the JSON writer", () => {
  it("writes the documented block, keys in order", () => {
    const block = create(BlockSchema, {
      id: "880e8400-e29b-41d4-a716-446655440033",
      user: {
        id: "777e7777-e77b-77d7-a777-777777777777",
        userName: "spam_account",
        firstName: "Spam",
        lastName: "Account",
        profilePictureUrls: ["https://cdn.nexgate.com/profiles/spam_account.jpg"],
      },
      createdAt: timestampFromMs(Date.parse("2025-12-11T10:30:45.999Z")),
    });
    expect(messageWriter(BlockSchema)(block)).to.equal(
      '{"id":"880e8400-e29b-41d4-a716-446655440033","user":{"id":"777e7777-e77b-77d7-a777-777777777777",' +
        '"userName":"spam_account","firstName":"Spam","lastName":"Account",' +
        '"profilePictureUrls":["https://cdn.nexgate.com/profiles/spam_account.jpg"],"isVerified":false},' +
        '"createdAt":"2025-12-11T10:30:45Z"}',
    );
  });

  it("writes every field of an empty message", () => {
    expect(messageWriter(BlockSchema)(create(BlockSchema))).to.equal(
      '{"id":"","user":null,"createdAt":null}',
    );
    expect(JSON.parse(messageWriter(every)(create(every) as Message))).to.deep.equal({
      text: "",
      flag: false,
      int32: 0,
      color: null,
      at: null,
      inner: null,
      manyText: [],
      manyFlag: [],
      manyInt32: [],
      manyColor: [],
      manyAt: [],
      manyInner: [],
      maybeText: null,
      maybeNumber: null,
    });
  });

  it("leaves out what says so where it is unset or empty, and nothing else", () => {
    const repeated = { repeated: true } as const;
    const omitEmpty = { omitEmpty: true } as const;
    const { message } = define({
      enums: { Color: ["COLOR_UNSPECIFIED", "COLOR_RED"] },
      messages: {
        Inner: [["tags", Type.STRING, { ...repeated, ...omitEmpty }]],
        First: [
          ["at", "message:google.protobuf.Timestamp", omitEmpty],
          ["tags", Type.STRING, { ...repeated, ...omitEmpty }],
          ["inner", "message:Inner"],
          ["name", Type.STRING],
        ],
        Last: [
          ["name", Type.STRING],
          ["text", Type.STRING, omitEmpty],
          ["number", Type.INT32, omitEmpty],
          ["color", "enum:Color", omitEmpty],
          ["maybe", Type.INT32, { optional: true, omitEmpty: true }],
          ["inner", "message:Inner", omitEmpty],
        ],
      },
    });
    const written = (name: string, json: JsonObject) =>
      messageWriter(message(name))(fromJson(message(name), json));
    expect(written("Inner", {})).to.equal("{}");
    expect(written("Inner", { tags: ["a", "b"] })).to.equal('{"tags":["a","b"]}');
    expect(written("First", {})).to.equal('{"inner":null,"name":""}');
    expect(written("First", { tags: ["a"], inner: {} })).to.equal('{"tags":["a"],"inner":{},"name":""}');
    expect(written("First", { at: "1970-01-01T00:00:00Z", tags: ["a"] })).to.equal(
      '{"at":"1970-01-01T00:00:00Z","tags":["a"],"inner":null,"name":""}',
    );
    expect(written("Last", {})).to.equal('{"name":""}');
    expect(written("Last", { text: "x", color: 1, maybe: 0, inner: {} })).to.equal(
      '{"name":"","text":"x","color":"red","maybe":0,"inner":{}}',
    );
    expect(written("Last", { name: "n", number: -1 })).to.equal('{"name":"n","number":-1}');
  });

  it("writes the expiry and the scopes of a mute only where they are set", () => {
    const written = (terms: MessageInitShape<typeof MuteSchema>) =>
      messageWriter(MuteSchema)(create(MuteSchema, { id: "1", createdAt: timestampFromMs(0), ...terms }));
    const always = '"id":"1","user":null,"createdAt":"1970-01-01T00:00:00Z"';
    expect(written({})).to.equal(`{${always}}`);
    expect(written({ scopes: [2, 1] })).to.equal(`{${always},"scopes":["notifications","content"]}`);
    expect(written({ expiresAt: { seconds: 60n, nanos: 999_999_999 } })).to.equal(
      `{${always},"expiresAt":"1970-01-01T00:01:00Z"}`,
    );
  });

  it("writes enums by their names in REST", () => {
    const settings = create(PrivacySettingsSchema, {
      lastSeen: 1,
      profilePicture: 2,
      status: 3,
      readReceipts: 4,
      groups: 1,
    });
    expect(messageWriter(PrivacySettingsSchema)(settings)).to.equal(
      '{"last_seen":"all","profile_picture":"contacts","status":"contact_blacklist","read_receipts":"none","groups":"all"}',
    );
  });

  it("throws for an enum value that the definition lacks", () => {
    const settings = create(PrivacySettingsSchema, { lastSeen: 99 as Audience });
    expect(() => messageWriter(PrivacySettingsSchema)(settings)).to.throw("has no value 99");
  });

  it("writes one field alone", () => {
    const [, user, createdAt] = BlockSchema.fields;
    if (user === undefined || createdAt === undefined) throw new Error("Block has changed");
    expect(fieldWriter(user)(create(BlockSchema))).to.equal("null");
    expect(fieldWriter(createdAt)(create(BlockSchema, { createdAt: { seconds: -1n, nanos: 999 } }))).to.equal(
      '"1969-12-31T23:59:59Z"',
    );
  });

  it("throws for a message that contains itself", () => {
    const { message } = define({ messages: { Node: [["nodes", "message:Node", { repeated: true }]] } });
    expect(() => messageWriter(message("Node"))).to.throw("message test.rest.v1.Node contains itself");
  });

  const times: [number, string][] = [
    [Date.parse("0001-01-01T00:00:00Z"), "0001-01-01T00:00:00Z"],
    [0, "1970-01-01T00:00:00Z"],
    [999, "1970-01-01T00:00:00Z"],
    [-1, "1969-12-31T23:59:59Z"],
    [Date.parse("9999-12-31T23:59:59.999Z"), "9999-12-31T23:59:59Z"],
  ];
  for (const [ms, text] of times)
    it(`writes ${ms} ms as ${text}`, () => expect(isoSeconds(ms)).to.equal(text));
  for (const ms of [Number.NaN, 1e15, -1e15])
    it(`writes no time ${ms}`, () => expect(() => isoSeconds(ms)).to.throw(RangeError));

  it("agrees with protobuf-es but for enums, times and nulls", () => {
    const write = messageWriter(every);
    fc.assert(
      fc.property(anyMessage(), (json) => {
        const message = fromJson(every, json) as Message;
        const theirs = toJson(every, message, { alwaysEmitImplicit: true }) as JsonObject;
        expect(JSON.parse(write(message))).to.deep.equal(asRest(theirs));
      }),
    );
  });
});

const names = every.fields.map(({ jsonName }) => jsonName);

/** What REST makes of the JSON of protobuf-es. */
function asRest(theirs: JsonObject): JsonObject {
  const all = Object.fromEntries(names.map((name) => [name, theirs[name] ?? null])) as JsonObject;
  const word = (value: JsonValue | undefined) =>
    value === "COLOR_UNSPECIFIED" ? null : String(value).replace("COLOR_", "").toLowerCase();
  const inner = (value: JsonValue | undefined): JsonValue =>
    value === null || value === undefined
      ? null
      : { nameOf: (value as JsonObject).nameOf ?? "", deep: (value as JsonObject).deep ?? null };
  const seconds = (value: JsonValue | undefined) => value && String(value).replace(/(?:\.\d+)?Z$/, "Z");
  return {
    ...all,
    color: word(all.color),
    manyColor: (all.manyColor as JsonValue[]).map(word),
    at: seconds(all.at) ?? null,
    manyAt: (all.manyAt as string[]).map((value) => seconds(value) ?? null),
    inner: inner(all.inner),
    manyInner: (all.manyInner as JsonValue[]).map(inner),
  };
}

function anyMessage(): fc.Arbitrary<JsonObject> {
  const integer = (min: number, max: number) => fc.integer({ min, max });
  const time = fc
    .date({
      min: new Date("0001-01-01T00:00:00Z"),
      max: new Date("9999-12-31T23:59:59Z"),
      noInvalidDate: true,
    })
    .map((date) => date.toISOString());
  const inner = fc.record(
    { nameOf: fc.string({ unit: "grapheme" }), deep: fc.record({ numbers: fc.array(integer(-9, 9)) }) },
    { requiredKeys: [] },
  );
  const one = {
    text: fc.oneof(
      fc.string({ unit: "grapheme" }),
      fc.constantFrom('"', "\\", "\u001f\0\n", "\u007f\u2028😀"),
    ),
    flag: fc.boolean(),
    int32: integer(-(2 ** 31), 2 ** 31 - 1),
    color: fc.constantFrom("COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_DARK_BLUE"),
    at: time,
    inner,
  };
  const many = Object.fromEntries(
    Object.entries(one).map(([name, values]) => [
      `many${name.charAt(0).toUpperCase()}${name.slice(1)}`,
      fc.array(values as fc.Arbitrary<JsonValue>, { maxLength: 3 }),
    ]),
  );
  return fc.record(
    { ...one, ...many, maybeText: fc.string(), maybeNumber: integer(-9, 9) },
    { requiredKeys: [] },
  ) as fc.Arbitrary<JsonObject>;
}
