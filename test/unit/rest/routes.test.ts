import { expect } from "chai";
import pino from "pino";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { CallPipeline } from "../../../src/call/pipeline.ts";
import { service } from "../../../src/call/service.ts";
import { compileRoutes } from "../../../src/rest/routes.ts";
import { define, Envelope, type FileSpec, type MethodSpec, Type } from "./protos.ts";

const messages: FileSpec["messages"] = {
  Request: [
    ["id", Type.STRING],
    ["inner", "message:Inner"],
    ["tags", Type.STRING, { repeated: true }],
  ],
  Plain: [["id", Type.STRING]],
  Inner: [["name", Type.STRING]],
  Reply: [["inner", "message:Inner"]],
  Raw: [["raw", Type.BYTES]],
  Lax: [["color", "enum:Color"]],
  PageRequest: [
    ["page_size", Type.INT32],
    ["page_token", Type.STRING],
  ],
  TextPageRequest: [
    ["page_size", Type.STRING],
    ["page_token", Type.STRING],
  ],
  Page: [
    ["items", "message:Inner", { repeated: true }],
    ["next_page_token", Type.STRING],
  ],
  NamesPage: [
    ["items", Type.STRING, { repeated: true }],
    ["next_page_token", Type.STRING],
  ],
  TwoListsPage: [
    ["items", "message:Inner", { repeated: true }],
    ["others", "message:Inner", { repeated: true }],
    ["next_page_token", Type.STRING],
  ],
};
const enums = { Color: ["UNSPECIFIED", "RED"] };
const good = { name: "Do", input: "Plain", output: "Reply", reply: { envelope: Envelope.GLOBE } } as const;

function compile(...methods: MethodSpec[]) {
  const { service: desc } = define({ messages, enums, methods });
  return compileRoutes(
    new CallPipeline({
      services: [service(desc, {})],
      log: pino({ level: "silent" }),
      authenticate: async () => {},
    }),
  );
}

describe("the compilation of rules", () => {
  const refusals: [string, Partial<MethodSpec> & Pick<MethodSpec, "rules">, string][] = [
    ["a path that is none", { rules: [{ get: "x" }] }, "GET x: the path must begin with /"],
    [
      "an unknown field in the path",
      { rules: [{ get: "/x/{nope}" }] },
      'GET /x/{nope}: message test.rest.v1.Plain has no field "nope"',
    ],
    [
      "a message in the path",
      { input: "Request", rules: [{ post: "/x/{inner}", body: "*" }] },
      "POST /x/{inner}: field test.rest.v1.Request.inner is a message and cannot be a parameter",
    ],
    [
      "a repeated field in the path",
      { input: "Request", rules: [{ post: "/x/{tags}", body: "*" }] },
      "POST /x/{tags}: field test.rest.v1.Request.tags is repeated and cannot be part of a path",
    ],
    [
      "an unknown field as body",
      { rules: [{ post: "/x", body: "nope" }] },
      'POST /x: message test.rest.v1.Plain has no field "nope"',
    ],
    [
      "a body that is no message",
      { rules: [{ post: "/x", body: "id" }] },
      'POST /x: the body "id" is no message',
    ],
    [
      "a body that the path binds",
      { rules: [{ post: "/x/{id}", body: "id" }] },
      'POST /x/{id}: the path binds the body "id"',
    ],
    ["a body of GET", { rules: [{ get: "/x", body: "*" }] }, "GET cannot have a body"],
    ["a body of DELETE", { rules: [{ delete: "/x", body: "*" }] }, "DELETE cannot have a body"],
    [
      "an unknown field as response_body",
      { rules: [{ get: "/x", responseBody: "nope" }] },
      'GET /x: message test.rest.v1.Reply has no field "nope"',
    ],
    [
      "a message in the query",
      { input: "Request", rules: [{ get: "/x" }] },
      "GET /x: field test.rest.v1.Request.inner is a message and cannot be a parameter",
    ],
    [
      "bytes in a request",
      { input: "Raw", rules: [{ post: "/x", body: "*" }] },
      "POST /x: field test.rest.v1.Raw.raw is of a type that REST does not support",
    ],
    [
      "bytes in a reply",
      { output: "Raw", rules: [{ get: "/x", responseBody: "raw" }] },
      "GET /x: field test.rest.v1.Raw.raw is of a type that REST does not support",
    ],
    [
      "an enum without its prefix",
      { input: "Lax", rules: [{ get: "/x" }] },
      "GET /x: the value UNSPECIFIED of enum test.rest.v1.Color lacks the prefix COLOR_",
    ],
    ["a custom verb", { rules: [{ custom: "HEAD" }] }, "only get, put, post, delete and patch are supported"],
    ["a stream", { streams: true, rules: [{ get: "/x" }] }, "GET /x: a streaming method cannot have a rule"],
    [
      "a missing reply option",
      { reply: undefined, rules: [{ get: "/x" }] },
      "GET /x: (nexgate.rest.v1.reply) names no known envelope",
    ],
    [
      "an unspecified envelope",
      { reply: { successMessage: "Done" }, rules: [{ get: "/x" }] },
      "GET /x: (nexgate.rest.v1.reply) names no known envelope",
    ],
    [
      "an unknown envelope",
      { reply: { envelope: 9 as Envelope }, rules: [{ get: "/x" }] },
      "GET /x: (nexgate.rest.v1.reply) names no known envelope",
    ],
    [
      "a bad additional binding",
      { rules: [{ get: "/x" }, { get: "/y/**" }] },
      'GET /y/**: the path segment "**" is not supported',
    ],
    [
      "a route that it has twice",
      { rules: [{ get: "/x/{id}" }, { get: "/x/{id=*}" }] },
      "GET /x/{id=*}: the route belongs to test.rest.v1.TestService/Do already",
    ],
  ];
  for (const [what, spec, message] of refusals)
    it(`refuses ${what}`, () =>
      expect(() => compile({ ...good, ...spec })).to.throw(Error, `test.rest.v1.TestService/Do: ${message}`));

  it("refuses a route of another method", () => {
    expect(() =>
      compile(
        { ...good, rules: [{ get: "/x/{id}" }] },
        { ...good, name: "Other", input: "Request", rules: [{ get: "/x/{id}" }] },
      ),
    ).to.throw(Error, "test.rest.v1.TestService/Other: GET /x/{id}: ");
    expect(() =>
      compile(
        { ...good, rules: [{ get: "/x/{id}" }] },
        { ...good, name: "Other", rules: [{ get: "/x/{id}" }] },
      ),
    ).to.throw(
      "test.rest.v1.TestService/Other: GET /x/{id}: the route belongs to test.rest.v1.TestService/Do already",
    );
  });

  it("accepts one path with two verbs, and methods without rules", () => {
    const routes = compile(
      { ...good, rules: [{ get: "/x/{id}" }, { put: "/x/{id}", body: "*" }] },
      { ...good, name: "Silent", input: "Raw", rules: [], reply: undefined },
    );
    expect(routes.map(({ rule }) => rule)).to.deep.equal([
      { verb: "GET", template: "/x/{id}", body: "", responseBody: "" },
      { verb: "PUT", template: "/x/{id}", body: "*", responseBody: "" },
    ]);
  });

  const lists: [string, string, string, string, boolean][] = [
    ["PageRequest", "Page", "GET", "items", true],
    ["PageRequest", "Page", "POST", "items", false],
    ["PageRequest", "Page", "GET", "", false],
    ["PageRequest", "Page", "GET", "next_page_token", false],
    ["TextPageRequest", "Page", "GET", "items", false],
    ["Plain", "Page", "GET", "items", false],
    ["PageRequest", "NamesPage", "GET", "items", false],
    ["PageRequest", "TwoListsPage", "GET", "items", false],
  ];
  for (const [input, output, verb, responseBody, isList] of lists)
    it(`${isList ? "sees" : "does not see"} a list in ${verb} ${input} -> ${output}.${responseBody}`, () => {
      const [route] = compile({
        ...good,
        input,
        output,
        rules: [{ [verb.toLowerCase()]: "/x", responseBody }],
      });
      expect(route?.list !== undefined).to.equal(isList);
    });

  it("serves the product's definition", () => {
    const calls = new CallPipeline({
      services: [service(PrivacyControlService, {})],
      log: pino({ level: "silent" }),
      authenticate: async () => {},
    });
    expect(compileRoutes(calls).map(({ rule }) => `${rule.verb} ${rule.template}`)).to.include.members([
      "POST /api/v1/e-social/privacy-control/block/{user_id}",
      "DELETE /api/v1/e-social/privacy-control/unblock/{user_id}",
      "POST /api/v1/e-social/privacy-control/mute/{user_id}",
      "DELETE /api/v1/e-social/privacy-control/unmute/{user_id}",
      "GET /api/v1/e-social/privacy-control/blocked",
      "GET /api/v1/e-social/privacy-control/muted",
      "GET /users/me/privacy",
      "PATCH /users/me/privacy",
      "GET /api/v1/users/me/privacy",
      "PATCH /api/v1/users/me/privacy",
    ]);
  });
});
