import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { expect } from "chai";
import { define, Envelope, type MethodSpec, Type } from "../protos.ts";
import { described } from "./described.ts";

// biome-ignore lint/suspicious/noExplicitAny: the shape of a document is what the tests assert
type Json = any;

/** All objects of a document that are under some key, with the path to each. */
function under(json: Json, key: string, path = "#"): [string, Json][] {
  if (typeof json !== "object" || json === null) return [];
  return Object.entries(json).flatMap(([name, value]) => [
    ...(name === key ? [[path, value] as [string, Json]] : []),
    ...under(value, key, `${path}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`),
  ]);
}

describe("the description of the REST API", () => {
  const { routes, document } = described();
  const operations: [string, string, Json][] = Object.entries<Json>(document.paths).flatMap(
    ([path, methods]) =>
      Object.entries<Json>(methods).map(([method, operation]): [string, string, Json] => [
        method.toUpperCase(),
        path,
        operation,
      ]),
  );

  it("is valid OpenAPI 3.1", async () => {
    const validator = new Validator();
    expect(await validator.validate(document)).to.eql({ valid: true });
    expect(validator.version).to.equal("3.1");
    expect(document.info).to.eql({
      title: "Test",
      version: "1.2.3",
      description: "A test.",
      license: { name: "Apache-2.0" },
    });
  });

  it("has every compiled route and no other, with full paths", () => {
    const compiled = routes.map(({ rule }) =>
      `${rule.verb} ${rule.template}`.replace("{user_id}", "{userId}"),
    );
    expect(operations.map(([method, path]) => `${method} ${path}`)).to.have.members(compiled);
    expect(document.servers).to.eql([{ url: "." }]);
  });

  it("names every operation once, and groups it", () => {
    const ids = operations.map(([, , { operationId }]) => operationId);
    expect(new Set(ids).size).to.equal(operations.length);
    expect(ids).to.include.members(["blockUser", "updatePrivacySetting", "updatePrivacySetting2"]);
    const groups = document.tags.map(({ name }: Json) => name);
    for (const [, , { tags, summary, description }] of operations) {
      expect(groups).to.include.members(tags);
      expect(summary).to.be.a("string").that.is.not.empty;
      expect(description).to.be.a("string").that.is.not.empty;
    }
  });

  it("has aliases in full, each with the name of the operation that it repeats", () => {
    const byId = new Map(operations.map((operation) => [operation[2].operationId, operation]));
    const aliases = operations.filter(([, , operation]) => "x-alias-of" in operation);
    expect(aliases.map(([, path]) => path)).to.have.members(
      operations.map(([, path]) => path).filter((path) => path.startsWith("/api/v1/users/")),
    );
    for (const [method, path, alias] of aliases) {
      const { "x-alias-of": name, operationId, description, ...rest } = alias;
      const [originalMethod, originalPath, original] = byId.get(name) ?? [];
      expect([originalMethod, `/api/v1${originalPath}`]).to.eql([method, path]);
      expect(description).to.equal(`The same as \`${originalMethod} ${originalPath}\`.`);
      expect({ ...original, ...rest }, path).to.eql(original);
      expect(Object.keys(rest)).to.have.length(Object.keys(original).length - 2);
    }
  });

  it("lists all aliases after what they repeat", () => {
    const isAlias = operations.map(([, , operation]) => "x-alias-of" in operation);
    expect(isAlias.indexOf(true)).to.be.above(isAlias.lastIndexOf(false));
  });

  it("asks for a bearer token everywhere", () => {
    expect(document.security).to.eql([{ bearer: [] }]);
    expect(document.components.securitySchemes.bearer).to.deep.include({
      type: "http",
      scheme: "bearer",
      bearerFormat: "JWT",
    });
  });

  it("documents what any call can meet, and where a method says more", () => {
    for (const [, path, { responses }] of operations) {
      expect(Object.keys(responses), path).to.include.members([
        "200",
        "400",
        "401",
        "413",
        "415",
        "500",
        "503",
        "504",
      ]);
      expect("404" in responses, path).to.equal(
        /block\/|mute\/|preview/.test(path) || isPatchOfExceptions(responses),
      );
    }
    const block = document.paths["/api/v1/e-social/privacy-control/block/{userId}"].post;
    expect(Object.keys(block.responses[400].content["application/json"].examples)).to.include.members([
      "CANNOT_BLOCK_SELF",
      "USER_ALREADY_BLOCKED",
      "INVALID_REQUEST",
    ]);
  });

  function isPatchOfExceptions(responses: Json): boolean {
    return "TOO_MANY_EXCEPTIONS" in responses[400].content["application/json"].examples;
  }

  it("has examples that fit their schemas, for every answer", () => {
    const ajv = formats.default(new Ajv2020({ strict: false }));
    ajv.addSchema(document, "document");
    const contents = under(document, "application/json");
    for (const [path, { example, examples }] of contents) {
      const values =
        example === undefined ? Object.values<Json>(examples).map(({ value }) => value) : [example];
      expect(values, path).to.not.be.empty;
      const validate = ajv.compile({ $ref: `document${path}/application~1json/schema` });
      for (const value of values)
        expect(validate(value), `${path}: ${ajv.errorsText(validate.errors)}`).to.equal(true);
    }
    for (const [path, parameters] of under(document, "parameters"))
      for (const [index, { example }] of parameters.entries())
        if (example !== undefined)
          expect(ajv.compile({ $ref: `document${path}/parameters/${index}/schema` })(example), path).to.equal(
            true,
          );
  });

  it("explains every reason, with statuses and REST names instead of gRPC codes and enum values", () => {
    const texts = under(document, "description").map(([, text]) => text);
    expect(texts).to.include("`USER_ALREADY_BLOCKED`: The acting user blocks the user already.");
    for (const text of texts) {
      if (typeof text !== "string") continue;
      expect(text).to.not.match(/INVALID_ARGUMENT|AUDIENCE_|PRIVACY_SETTING_|undefined/);
    }
  });

  it("describes what a request needs", () => {
    const { requestBody, parameters } = document.paths["/users/me/privacy"].patch;
    expect(parameters).to.eql([]);
    expect(requestBody.required).to.equal(true);
    expect(requestBody.content["application/json"].schema).to.deep.include({
      required: ["setting", "value"],
      additionalProperties: false,
    });
    const list = document.paths["/users/me/privacy/{setting}/exceptions"].get;
    expect(
      list.parameters.map((parameter: Json) => [parameter.name, parameter.in, parameter.required]),
    ).to.eql([
      ["setting", "path", true],
      ["page_size", "query", false],
      ["page_token", "query", false],
    ]);
    expect(list.responses[200].headers.Link).to.be.an("object");
  });

  const control = "/api/v1/e-social/privacy-control";

  it("asks for no body where a call is complete without one", () => {
    for (const action of ["block", "mute"]) {
      const { requestBody } = document.paths[`${control}/${action}/{userId}`].post;
      const { schema, example } = requestBody.content["application/json"];
      expect([requestBody.required, example]).to.eql([false, {}]);
      expect(Object.keys(schema.properties)).to.eql(
        action === "block" ? ["expiresAt"] : ["expiresAt", "scopes"],
      );
      expect(schema).to.include({ additionalProperties: false }).and.to.not.have.property("required");
    }
  });

  it("describes a merge patch: every member may be missing or null, and none is the mask", () => {
    const { requestBody, parameters } = document.paths[`${control}/mute/{userId}`].patch;
    expect(parameters.map(({ name }: Json) => name)).to.eql(["userId"]);
    expect(requestBody.required).to.equal(false);
    expect(requestBody.description).to.include("RFC 7396");
    const { schema } = requestBody.content["application/json"];
    expect(Object.keys(schema.properties)).to.eql(["expiresAt", "scopes"]);
    const ajv = formats.default(new Ajv2020({ strict: false }));
    ajv.addSchema(document, "document");
    const pointer = `/paths/${`${control}/mute/{userId}`.replaceAll("/", "~1")}/patch/requestBody`;
    const fits = ajv.compile({ $ref: `document#${pointer}/content/application~1json/schema` });
    const bodies: [unknown, boolean][] = [
      [{}, true],
      [{ expiresAt: null, scopes: null }, true],
      [{ scopes: ["content"] }, true],
      [{ scopes: [] }, true],
      [{ scopes: [null] }, false],
      [{ scopes: ["content", "content"] }, false],
      [{ expiresAt: "tomorrow" }, false],
      [{ updateMask: "scopes" }, false],
      [{ userId: null }, false],
    ];
    for (const [body, does] of bodies) expect(fits(body), JSON.stringify(body)).to.equal(does);
  });

  it("promises no member that a reply may leave out", () => {
    const { Block, Mute, OwnEdge, UserRelationship } = document.components.schemas;
    expect(Block.required).to.eql(["id", "user", "createdAt"]);
    expect(Mute.required).to.eql(["id", "user", "createdAt"]);
    expect(OwnEdge.required).to.eql(["createdAt"]);
    expect(UserRelationship.required).to.eql(["userId", "following", "blocking", "muting"]);
    expect(Mute.properties.expiresAt).to.include({ type: "string", format: "date-time" });
    expect(Mute.properties.scopes).to.include({ type: "array" });
    expect(UserRelationship.properties.muting.anyOf).to.deep.include({ type: "null" });
  });

  it("promises an interaction and an effect in a preview, and null where nothing of the caller's decides", () => {
    const { interaction, effect, cause } = document.components.schemas.PreviewedInteraction.properties;
    for (const schema of [interaction, effect]) expect(schema).not.to.have.property("anyOf");
    expect(cause.anyOf).to.deep.include({ type: "null" });
    expect(cause.description).to.equal(
      "Which of the acting user's choices decides it. None for a plain `allow`.",
    );
  });

  it("names the reason when an idempotency key is used for another request", () => {
    for (const path of ["block", "mute"])
      expect(document.paths[`${control}/${path}/{userId}`].post.description).to.include(
        "Another request with the key fails with `IDEMPOTENCY_KEY_REUSED`.",
      );
  });

  it("describes a list of ids in a query, and how a wrong one fails", () => {
    const { parameters, responses } = document.paths[`${control}/relationships`].get;
    expect(parameters[0]).to.deep.include({ name: "userIds", in: "query", required: false });
    expect(parameters[0].schema).to.deep.include({ type: "array", maxItems: 100 });
    expect(parameters[0].schema.items).to.eql({ type: "string", format: "uuid" });
    const { INVALID_REQUEST: example } = responses[400].content["application/json"].examples;
    expect(example.summary).to.equal("userIds[0] must be a valid UUID");
  });

  it("describes the idempotency key where a call has a use for it, and its second use as a status of its own", () => {
    const withKey = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods as Json).flatMap(([method, { parameters }]: [string, Json]) =>
        parameters.some(({ name }: Json) => name === "Idempotency-Key") ? [`${method} ${path}`] : [],
      ),
    );
    expect(withKey).to.have.members([`post ${control}/block/{userId}`, `post ${control}/mute/{userId}`]);
    for (const action of ["block", "mute"]) {
      const { parameters, responses } = document.paths[`${control}/${action}/{userId}`].post;
      const key = parameters.find(({ name }: Json) => name === "Idempotency-Key");
      expect(key).to.deep.include({ in: "header", required: false });
      expect(key.schema).to.include({ type: "string", minLength: 1, maxLength: 255 });
      expect(responses[422].description).to.equal("Unprocessable content");
      expect(responses[422].content["application/json"].examples.IDEMPOTENCY_KEY_REUSED.value).to.include({
        success: false,
        httpStatus: "UNPROCESSABLE_CONTENT",
      });
    }
  });

  describe("stops the start", () => {
    const method: MethodSpec = {
      name: "Do",
      input: "Request",
      output: "Reply",
      rules: [{ get: "/do/{id}", responseBody: "item" }],
      reply: { envelope: Envelope.GLOBE },
    };
    const attempt = (documentation: MethodSpec["documentation"]) => () =>
      described(
        define({
          messages: {
            Request: [["id", Type.STRING]],
            Reply: [["item", "message:Item"]],
            Item: [["name", Type.STRING]],
          },
          methods: [{ ...method, ...(documentation && { documentation }) }],
        }).service,
      );

    it("not for a method without documentation", () => {
      const operation = attempt(undefined)().document.paths["/do/{id}"].get;
      expect(operation).to.deep.include({ operationId: "do", summary: "Do" });
      expect(operation).to.not.have.any.keys("tags", "description");
      expect(operation.responses[200].content["application/json"]).to.not.have.property("example");
    });

    it("for a reason that does not exist", () => {
      expect(attempt({ errorReasons: ["USER_LOST"] })).to.throw(
        'test.rest.v1.TestService/Do cannot be described: "USER_LOST" is no reason of an error',
      );
    });

    it("for a group that its service does not have", () => {
      expect(attempt({ group: "Lost" })).to.throw('"Lost" is no group of any service');
    });

    it("for an example that does not fit", () => {
      expect(attempt({ exampleRequest: '{"key": "x"}' })).to.throw(
        "Do cannot be described: Unknown field: key",
      );
      expect(attempt({ exampleRequest: '{"id": 7}' })).to.throw(
        "Do cannot be described: id must be a string",
      );
      expect(attempt({ exampleRequest: "[]" })).to.throw(
        "Do cannot be described: the example [] is no JSON object",
      );
    });
  });
});
