import { type Message, toJson } from "@bufbuild/protobuf";
import { expect } from "chai";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { service } from "../../../src/call/service.ts";
import { define, Envelope, type FieldSpec, type MethodSpec, Type } from "./protos.ts";
import { Servers, testGateway } from "./servers.ts";

const mask: FieldSpec = ["update_mask", "message:google.protobuf.FieldMask"];
const patch = { patch: "/items/{id}", body: "*" } as const;
const update: MethodSpec = {
  name: "UpdateItem",
  input: "UpdateItemRequest",
  output: "UpdateItemResponse",
  rules: [patch],
  reply: { envelope: Envelope.GLOBE, successMessage: "Item updated" },
};

/** A service whose one method updates an item of some fields. */
function itemService(fields: readonly FieldSpec[], method: Partial<MethodSpec> = {}) {
  return define({
    enums: { Color: ["COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_DARK_BLUE"] },
    messages: {
      UpdateItemRequest: [["id", Type.STRING], ...fields],
      UpdateItemResponse: [],
      Inner: [["name", Type.STRING]],
    },
    methods: [{ ...update, ...method }],
  });
}

describe("a JSON merge patch", () => {
  const { service: desc, message } = itemService([
    ["due_at", "message:google.protobuf.Timestamp"],
    ["colors", "enum:Color", { repeated: true }],
    mask,
    ["title", Type.STRING],
    ["color", "enum:Color"],
    ["maybe_number", Type.INT32, { optional: true }],
    ["parts", "message:Inner", { repeated: true }],
  ]);
  const requests: unknown[] = [];
  const impl = {
    updateItem: (request: Message) => {
      requests.push(toJson(message("UpdateItemRequest"), request));
      return {};
    },
  };
  const { gateway } = testGateway([service(desc, impl as never)]);
  const servers = new Servers();
  let url = "";
  before(async () => {
    url = `http://127.0.0.1:${await servers.http1(gateway)}/items/7`;
  });
  after(() => servers.close());
  beforeEach(() => {
    requests.length = 0;
  });

  const send = (body?: string, query = "") =>
    fetch(url + query, {
      method: "PATCH",
      headers: { authorization: "good", ...(body !== undefined && { "content-type": "application/json" }) },
      ...(body !== undefined && { body }),
    });

  const read: [string | undefined, object][] = [
    [undefined, { updateMask: "" }],
    ["", { updateMask: "" }],
    ["null", { updateMask: "" }],
    ["{}", { updateMask: "" }],
    ['{"title":"x"}', { updateMask: "title", title: "x" }],
    ['{"title":""}', { updateMask: "title" }],
    ['{"title":null}', { updateMask: "title" }],
    ['{"color":null}', { updateMask: "color" }],
    ['{"dueAt":null}', { updateMask: "dueAt" }],
    ['{"due_at":null}', { updateMask: "dueAt" }],
    ['{"colors":null}', { updateMask: "colors" }],
    ['{"colors":[]}', { updateMask: "colors" }],
    ['{"maybeNumber":null}', { updateMask: "maybeNumber" }],
    ['{"maybeNumber":0}', { updateMask: "maybeNumber", maybeNumber: 0 }],
    ['{"parts":[{"name":"x"},{}]}', { updateMask: "parts", parts: [{ name: "x" }, {}] }],
    [
      '{"maybe_number":3,"colors":["red","dark_blue"],"due_at":"2026-12-24T18:00:00.25Z"}',
      {
        updateMask: "dueAt,colors,maybeNumber",
        dueAt: "2026-12-24T18:00:00.250Z",
        colors: ["COLOR_RED", "COLOR_DARK_BLUE"],
        maybeNumber: 3,
      },
    ],
  ];
  for (const [body, request] of read)
    it(`of ${body ?? "no body"} sets the mask to what it names, in declared order`, async () => {
      expect((await send(body)).status).to.equal(200);
      expect(requests).to.eql([{ id: "7", ...request }]);
    });

  const refused: [string, string][] = [
    ['{"updateMask":"title"}', "Unknown field: updateMask"],
    ['{"update_mask":{"paths":["title"]}}', "Unknown field: update_mask"],
    ['{"updateMask":null}', "Unknown field: updateMask"],
    ['{"id":"8"}', "Unknown field: id"],
    ['{"id":null}', "Unknown field: id"],
    ['{"nope":null}', "Unknown field: nope"],
    ['{"__proto__":null}', "Unknown field: __proto__"],
    ['{"dueAt":null,"due_at":"2026-12-24T18:00:00Z"}', "dueAt must be given once"],
    ['{"due_at":null,"dueAt":null}', "dueAt must be given once"],
    ['{"title":null,"title":null}', "Malformed JSON body"],
    ['{"title":1}', "title must be a string"],
    ['{"colors":[null]}', "colors[0] must be one of red, dark_blue"],
    ['{"colors":"red"}', "colors must be an array"],
    ['{"colors":["red","RED"]}', "colors[1] must be one of red, dark_blue"],
    ['{"dueAt":""}', "dueAt must be an RFC 3339 time"],
    ["[]", "The body must be a JSON object"],
    ["false", "The body must be a JSON object"],
  ];
  for (const [body, text] of refused)
    it(`refuses ${body}`, async () => {
      const answer = await send(body);
      expect([answer.status, ((await answer.json()) as { message: string }).message]).to.eql([400, text]);
      expect(requests).to.eql([]);
    });

  it("leaves nothing to the query", async () => {
    for (const name of ["updateMask", "update_mask", "title"]) {
      const answer = await send("{}", `?${name}=title`);
      expect(await answer.json()).to.include({ message: `Unknown query parameter: ${name}` });
    }
    expect(requests).to.eql([]);
  });

  it("is application/json", async () => {
    for (const [type, status] of [
      ["application/json", 200],
      ["application/merge-patch+json", 415],
      ["text/plain", 415],
    ] as const) {
      const headers = { authorization: "good", "content-type": type };
      expect((await fetch(url, { method: "PATCH", headers, body: '{"title":null}' })).status).to.equal(
        status,
      );
    }
  });

  describe("stops the start", () => {
    const attempt = (fields: readonly FieldSpec[], method?: Partial<MethodSpec>) => () =>
      testGateway([service(itemService(fields, method).service, {})]);
    const name = "test.rest.v1.TestService/UpdateItem: ";
    const noRule = 'field test.rest.v1.UpdateItemRequest.update_mask needs a PATCH rule with the body "*"';
    const noMask = "field test.rest.v1.UpdateItemRequest.update_mask must be a google.protobuf.FieldMask";
    const title: FieldSpec = ["title", Type.STRING];

    it("where its rule is none", () => {
      for (const verb of ["post", "put"])
        expect(attempt([title, mask], { rules: [{ [verb]: "/items/{id}", body: "*" }] })).to.throw(
          `${name}${verb.toUpperCase()} /items/{id}: ${noRule}`,
        );
      for (const verb of ["get", "delete", "patch"])
        expect(attempt([title, mask], { rules: [{ [verb]: "/items/{id}" }] })).to.throw(noRule);
      expect(attempt([["inner", "message:Inner"], mask], { rules: [{ ...patch, body: "inner" }] })).to.throw(
        noRule,
      );
      expect(attempt([title, mask], { rules: [patch, { post: "/items/{id}", body: "*" }] })).to.throw(
        `${name}POST /items/{id}: ${noRule}`,
      );
    });

    it("where its mask is of another type", () => {
      for (const type of [Type.STRING, "message:Inner", "message:google.protobuf.Timestamp"] as const)
        expect(attempt([title, ["update_mask", type]])).to.throw(`${name}PATCH /items/{id}: ${noMask}`);
      expect(attempt([title, [mask[0], mask[1], { repeated: true }]])).to.throw(noMask);
    });

    it("where it would change a part of a message", () => {
      expect(attempt([["inner", "message:Inner"], mask])).to.throw(
        `${name}PATCH /items/{id}: field test.rest.v1.UpdateItemRequest.inner is a message, which REST does not support in a merge patch`,
      );
    });

    it("but not without a mask", () => {
      expect(attempt([["inner", "message:Inner"], title])).to.not.throw();
    });
  });

  it("of a mute, in the service's own definition", async () => {
    const masks: unknown[] = [];
    const { gateway: control } = testGateway([
      service(PrivacyControlService, {
        updateMute: ({ updateMask, expiresAt, scopes }) => {
          masks.push([updateMask?.paths, expiresAt?.seconds, scopes]);
          return { mute: { id: "1", createdAt: { seconds: 1n }, scopes } };
        },
      }),
    ]);
    const port = await servers.http1(control);
    const path = "/api/v1/e-social/privacy-control/mute/999e9999-e99b-99d9-a999-999999999999";
    const ask = async (body: string) => {
      const headers = { authorization: "good", "content-type": "application/json" };
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method: "PATCH", headers, body });
      return (await answer.json()) as { message: string; data: object };
    };
    const { data } = await ask('{"scopes":["notifications"],"expiresAt":null}');
    expect(JSON.stringify(data)).to.equal(
      '{"id":"1","user":null,"createdAt":"1970-01-01T00:00:01Z","scopes":["notifications"]}',
    );
    await ask('{"scopes":null}');
    await ask("{}");
    expect((await ask('{"scopes":["content","content"]}')).message).to.match(/^scopes .*unique/);
    expect((await ask('{"scopes":["unspecified"]}')).message).to.equal(
      "scopes[0] must be one of content, notifications",
    );
    expect(masks).to.eql([
      [["expires_at", "scopes"], undefined, [2]],
      [["scopes"], undefined, []],
      [[], undefined, []],
    ]);
  });
});
