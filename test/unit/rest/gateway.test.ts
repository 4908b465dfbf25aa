import http2 from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { service } from "../../../src/call/service.ts";
import { PrivacyError } from "../../../src/domain/errors.ts";
import { fetch2, raw, Servers, testGateway, testTime } from "./servers.ts";

const control = "/api/v1/e-social/privacy-control";
const settings = "/users/me/privacy";
const ada = "999e9999-e99b-99d9-a999-999999999999";
const good = { authorization: "good" };
const json = { ...good, "content-type": "application/json" };

describe("the REST gateway", () => {
  const servers = new Servers();
  const handled: unknown[] = [];
  const record = (request: object) => {
    const { $typeName, ...fields } = request as { $typeName: string };
    handled.push(fields);
  };
  const failures: Record<string, () => unknown> = {
    ["1".repeat(8)]: () => new PrivacyError("USER_NOT_FOUND"),
    ["2".repeat(8)]: () => new PrivacyError("USER_ALREADY_BLOCKED"),
    ["3".repeat(8)]: () => new Error("SELECT secret FROM users"),
    ["4".repeat(8)]: () => new PrivacyError("UNAVAILABLE", { cause: new Error("connect 10.0.0.1") }),
    ["5".repeat(8)]: () =>
      new ConnectError("Slow down", Code.ResourceExhausted, undefined, [
        {
          desc: ErrorInfoSchema,
          value: { reason: "RATE_LIMITED", domain: "privacy.nexgate.com" },
        },
      ]),
  };
  const { gateway, logged } = testGateway([
    service(PrivacyControlService, {
      blockUser: (request, context) => {
        record(request);
        const failure = failures[request.userId.slice(0, 8)];
        if (failure !== undefined) throw failure();
        context.responseHeader.set("x-from-handler", "yes");
        return {
          block: {
            id: "1",
            user: { id: request.userId, firstName: "Zoë" },
            createdAt: { seconds: 1n, nanos: 5 },
          },
        };
      },
      unblockUser: (request) => {
        record(request);
        return {};
      },
      getPrivacySettings: () => ({
        settings: { lastSeen: 1, profilePicture: 2, status: 3, readReceipts: 4, groups: 1 },
      }),
      updatePrivacySetting: (request) => {
        record(request);
        return {};
      },
    }),
  ]);
  let port = 0;
  before(async () => {
    port = await servers.http1(gateway);
  });
  after(() => servers.close());
  beforeEach(() => {
    handled.length = 0;
    logged.length = 0;
  });

  const call = (method: string, path: string, init: RequestInit = {}) =>
    fetch(`http://127.0.0.1:${port}${path}`, { method, headers: good, ...init });

  async function globeFailure(answer: Response, status: number, name: string, message: string) {
    expect(await answer.json()).to.deep.equal({
      success: false,
      httpStatus: name,
      message,
      action_time: testTime,
      data: message,
    });
    expect(answer.status).to.equal(status);
  }

  async function statusFailure(answer: Response, code: number, message: string, error: string) {
    expect(await answer.json()).to.deep.equal({ status: false, code, message, error });
    expect(answer.status).to.equal(code);
  }

  describe("answers", () => {
    it("with the documented bytes and headers", async () => {
      const answer = await call("POST", `${control}/block/${ada}`, { headers: json, body: "{}" });
      const text = await answer.text();
      expect(text).to.equal(
        `{"success":true,"httpStatus":"OK","message":"User blocked successfully","action_time":"${testTime}",` +
          `"data":{"id":"1","user":{"id":"${ada}","userName":"","firstName":"Zoë","lastName":"","profilePictureUrls":[],` +
          `"isVerified":false},"createdAt":"1970-01-01T00:00:01Z"}}`,
      );
      expect(Object.fromEntries(answer.headers)).to.include({
        "content-type": "application/json; charset=utf-8",
        "content-length": String(Buffer.byteLength(text)),
        "x-from-handler": "yes",
      });
      expect(handled).to.deep.equal([{ userId: ada }]);
      expect(logged.map(({ method, protocol, code }) => ({ method, protocol, code }))).to.deep.equal([
        { method: "nexgate.privacy.v1.PrivacyControlService/BlockUser", protocol: "rest", code: "ok" },
      ]);
    });

    it("with data null where the rule has no response_body", async () => {
      expect(await (await call("DELETE", `${control}/unblock/${ada}`)).text()).to.equal(
        `{"success":true,"httpStatus":"OK","message":"User unblocked successfully","action_time":"${testTime}","data":null}`,
      );
    });

    for (const path of [settings, `/api/v1${settings}`])
      it(`in the status envelope at ${path}`, async () => {
        expect(await (await call("GET", path)).text()).to.equal(
          '{"status":true,"code":200,"message":"Privacy settings retrieved successfully","data":{"last_seen":"all",' +
            '"profile_picture":"contacts","status":"contact_blacklist","read_receipts":"none","groups":"all"}}',
        );
        const body = '{"setting":"last_seen","value":"all"}';
        expect(await (await call("PATCH", path, { headers: json, body })).text()).to.equal(
          '{"status":true,"code":200,"message":"Privacy settings updated successfully"}',
        );
        expect(handled).to.deep.equal([{ setting: 1, value: 1 }]);
      });

    it("knows its paths", () => {
      expect(gateway.methodsAt(`${control}/blocked`)).to.eql(["GET", "HEAD"]);
      expect(gateway.methodsAt(settings)).to.have.members(["GET", "HEAD", "PATCH"]);
      expect(gateway.methodsAt(`${control}/block/%ff`)).to.eql(["POST", "PATCH"]);
      expect(gateway.methodsAt(`${control}/blocked/`)).to.eql([]);
      expect(gateway.methodsAt("/nexgate.privacy.v1.PrivacyControlService/BlockUser")).to.eql([]);
      expect(gateway.methodsAt("*")).to.eql([]);
    });
  });

  describe("refuses", () => {
    const unknownPaths = [
      "/",
      "/nope",
      `${control}/block`,
      `${control}/block/`,
      `${control}/block/${ada}/`,
      `${control}/block//${ada}`,
      `${control}//block/${ada}`,
      `/${control}/block/${ada}`,
      `${control}/block/a/b`,
      `${control}/Block/${ada}`,
      `${control}/bloc%6B/${ada}`,
      `${control}%2Fblock/${ada}`,
      `${control}/block%2F${ada}`,
      `${settings}/`,
      `${settings}%20`,
      `${settings}%`,
      `${settings};x=1`,
      "/users/me/%70rivacy",
      "/api/v1/../v1/users/me/privacy",
      `http://x${control}/blocked`,
      `${settings}#x`,
      "*",
    ];
    for (const path of unknownPaths)
      it(`404: ${path}`, async () => {
        const method = path.includes("block/") ? "POST" : "GET";
        const { text } = await raw(
          port,
          `${method} ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`,
        );
        expect(text).to.match(/^HTTP\/1\.1 404 /);
        expect(text.slice(text.indexOf("{"))).to.equal(
          `{"success":false,"httpStatus":"NOT_FOUND","message":"Not found","action_time":"${testTime}","data":"Not found"}`,
        );
      });

    it("no later request on the same connection", async () => {
      const { text } = await raw(
        port,
        "GET /nope HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2) +
          "GET /nope HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
      );
      expect(text.match(/HTTP\/1\.1 \d+/g)).to.deep.equal(Array(3).fill("HTTP/1.1 404"));
    });

    it("405 with Allow, in the envelope of the path", async () => {
      for (const method of ["POST", "PUT", "DELETE"]) {
        const answer = await call(method, settings);
        expect(answer.headers.get("allow")).to.equal("GET, HEAD, PATCH, OPTIONS");
        await statusFailure(answer, 405, "Method not allowed", "Method not allowed");
      }
      const answer = await call("GET", `${control}/block/${ada}`);
      expect(answer.headers.get("allow")).to.equal("POST, PATCH, OPTIONS");
      await globeFailure(answer, 405, "METHOD_NOT_ALLOWED", "Method not allowed");
      const head = await call("HEAD", `${control}/block/${ada}`);
      expect([head.status, head.headers.get("allow"), await head.text()]).to.deep.equal([
        405,
        "POST, PATCH, OPTIONS",
        "",
      ]);
    });

    const badIds: [string, string][] = [
      ["%2F", "userId must not contain %2F or %00"],
      [`${ada}%2F`, "userId must not contain %2F or %00"],
      ["%00", "userId must not contain %2F or %00"],
      [`${ada}%00`, "userId must not contain %2F or %00"],
      ["%", "userId must be percent-encoded UTF-8"],
      ["%ff", "userId must be percent-encoded UTF-8"],
      ["%C0%AF", "userId must be percent-encoded UTF-8"],
      ["%zz", "userId must be percent-encoded UTF-8"],
      ["a".repeat(129), "userId must have at most 128 characters"],
      ["a".repeat(9000), "userId must have at most 128 characters"],
      ["%41".repeat(129), "userId must have at most 128 characters"],
      ["a".repeat(128), "userId must be a valid UUID"],
      ["..", "userId must be a valid UUID"],
      ["%2e%2e", "userId must be a valid UUID"],
      ["%252F", "userId must be a valid UUID"],
      [`${ada}%20`, "userId must be a valid UUID"],
      [`${ada}%0A`, "userId must be a valid UUID"],
      [`${ada}#x`, "userId must be a valid UUID"],
      ["__proto__", "userId must be a valid UUID"],
      ["{user_id}", "userId must be a valid UUID"],
      [":p", "userId must be a valid UUID"],
    ];
    for (const [id, message] of badIds)
      it(`400: the id ${id.slice(0, 50)}`, async () => {
        const { text } = await raw(
          port,
          `POST ${control}/block/${id} HTTP/1.1\r\nhost: x\r\nauthorization: good\r\nconnection: close\r\n\r\n`,
        );
        expect(text).to.match(/^HTTP\/1\.1 400 /);
        expect(JSON.parse(text.slice(text.indexOf("{")))).to.include({ message, data: message });
        expect(handled).to.deep.equal([]);
      });

    it("an encoded id only once decoded", async () => {
      await call("POST", `${control}/block/%39${ada.slice(1)}`);
      expect(handled).to.deep.equal([{ userId: ada }]);
    });

    it("400: query parameters that are not fields", async () => {
      const answer = await call("POST", `${control}/block/${ada}?user_id=${ada}`);
      await globeFailure(answer, 400, "BAD_REQUEST", "Unknown query parameter: user_id");
      const patch = await call("PATCH", `${settings}?setting=last_seen`, {
        headers: json,
        body: '{"value":"all"}',
      });
      await statusFailure(patch, 400, "Bad request", "Unknown query parameter: setting");
      expect(handled).to.deep.equal([]);
    });

    const badBodies: [string, string | Uint8Array, string][] = [
      ["no JSON", "{", "Bad request"],
      ["a bare word", "x", "Bad request"],
      ["two documents", "{}{}", "Bad request"],
      ["a name twice", '{"setting":"status","value":"none","setting":"groups"}', "Bad request"],
      ["an array", "[]", "Bad request"],
      ["null", "null", "Bad request"],
      ["a string", '"x"', "Bad request"],
      ["a number", "1", "Bad request"],
      ["invalid UTF-8", new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), "Bad request"],
      ["UTF-16", Buffer.from("{}", "utf16le"), "Bad request"],
      ["deep nesting", "[".repeat(1000), "Bad request"],
      ["an unknown field", '{"setting":"last_seen","value":"all","x":1}', "Unknown field: x"],
      ["__proto__", '{"setting":"last_seen","value":"all","__proto__":{}}', "Unknown field: __proto__"],
      ["constructor", '{"constructor":{}}', "Unknown field: constructor"],
      ["no fields", "{}", "Invalid setting or value"],
      ["nothing", "", "Invalid setting or value"],
      ["white space", " \n", "Invalid setting or value"],
      ["a missing field", '{"setting":"last_seen"}', "Invalid setting or value"],
      ["an unknown name", '{"setting":"nope","value":"all"}', "Invalid setting or value"],
      ["another case", '{"setting":"Last_Seen","value":"all"}', "Invalid setting or value"],
      ["the full name", '{"setting":"PRIVACY_SETTING_LAST_SEEN","value":"all"}', "Invalid setting or value"],
      ["a number as name", '{"setting":1,"value":"all"}', "Invalid setting or value"],
      ["unspecified", '{"setting":"unspecified","value":"all"}', "Invalid setting or value"],
      ["null as name", '{"setting":null,"value":"all"}', "Invalid setting or value"],
      ["an array as name", '{"setting":["last_seen"],"value":"all"}', "Invalid setting or value"],
    ];
    for (const [what, body, error] of badBodies)
      it(`400: a settings body that is ${what}`, async () => {
        const answer = await call("PATCH", settings, { headers: json, body: Buffer.from(body as string) });
        await statusFailure(answer, 400, "Bad request", error);
        expect(handled).to.deep.equal([]);
      });

    const strayBodies: [string, string][] = [
      ["{", "Malformed JSON body"],
      ["[]", "The body must be a JSON object"],
      [`{"userId":"${ada}"}`, "Unknown field: userId"],
      ['{"__proto__":1}', "Unknown field: __proto__"],
    ];
    for (const [body, message] of strayBodies)
      it(`400: the body ${body} where the rule has none`, async () => {
        const answer = await call("POST", `${control}/block/${ada}`, { headers: json, body });
        await globeFailure(answer, 400, "BAD_REQUEST", message);
      });

    it("400: a query parameter in the body of GET", async () => {
      const { text } = await raw(
        port,
        `GET ${control}/blocked HTTP/1.1\r\nhost: x\r\nauthorization: good\r\nconnection: close\r\n` +
          'content-type: application/json\r\ncontent-length: 15\r\n\r\n{"pageSize":10}',
      );
      expect(text).to.match(/^HTTP\/1\.1 400 /);
      expect(text).to.include("Unknown field: pageSize");
    });

    for (const body of ["", "{}", " { }\r\n", "null", " null\n"])
      it(`nothing of the body ${JSON.stringify(body)} where the rule has none`, async () => {
        const answer = await call("POST", `${control}/block/${ada}`, { headers: json, body });
        expect(answer.status).to.equal(200);
      });

    it("null for a body that is needed: 400", async () => {
      const answer = await call("PATCH", settings, { headers: json, body: "null" });
      await statusFailure(answer, 400, "Bad request", "Bad request");
      expect(handled).to.eql([]);
    });

    const mediaTypes: [number, string | undefined][] = [
      [200, "application/json"],
      [200, "Application/JSON; Charset=UTF-8"],
      [200, 'application/json ; charset="utf-8"'],
      [200, "application/json;"],
      [200, "application/json; charset=utf-8;"],
      [200, "application/json;charset=utf8"],
      [200, 'application/json; charset="UTF8"'],
      [200, "application/json; profile=x"],
      [415, undefined],
      [415, ""],
      [415, "text/plain"],
      [415, "application/jsonp"],
      [415, "application/json, text/plain"],
      [415, "application/problem+json"],
      [415, "application/json; charset=latin1"],
      [415, "application/json; charset=utf-16"],
      [415, 'application/json; charset="utf-8'],
      [415, "application/json; charset="],
      [415, "application/json; charset=utf-8; charset=latin1"],
      [415, "application/json charset=utf-8"],
      [415, "application/x-www-form-urlencoded"],
    ];
    for (const [status, type] of mediaTypes)
      it(`${status}: the media type ${type}`, async () => {
        const body = '{"setting":"last_seen","value":"all"}';
        const { text } = await raw(
          port,
          `PATCH ${settings} HTTP/1.1\r\nhost: x\r\nauthorization: good\r\nconnection: close\r\n` +
            `${type === undefined ? "" : `content-type: ${type}\r\n`}content-length: ${body.length}\r\n\r\n${body}`,
        );
        expect(text).to.match(new RegExp(`^HTTP/1.1 ${status} `));
        expect(handled.length).to.equal(status === 200 ? 1 : 0);
      });

    it("no media type of a request without a body", async () => {
      for (const type of ["text/plain", "nonsense"]) {
        const headers = { ...good, "content-type": type };
        expect((await call("POST", `${control}/block/${ada}`, { headers })).status).to.equal(200);
        expect((await call("GET", settings, { headers })).status).to.equal(200);
      }
      const chunked = await raw(
        port,
        `POST ${control}/block/${ada} HTTP/1.1\r\nhost: x\r\nauthorization: good\r\nconnection: close\r\n` +
          "content-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      );
      expect(chunked.text).to.match(/^HTTP\/1\.1 200 /);
    });

    it("415: a compressed body", async () => {
      for (const [encoding, status] of [
        ["gzip", 415],
        ["br", 415],
        ["identity, gzip", 415],
        ["Identity", 200],
      ] as const) {
        const headers = { ...json, "content-encoding": encoding };
        const body = '{"setting":"last_seen","value":"all"}';
        expect((await call("PATCH", settings, { headers, body })).status).to.equal(status);
      }
    });
  });

  describe("maps failures", () => {
    const table: [string, number, string, string, string, string | null][] = [
      ["1", 404, "NOT_FOUND", "User not found", "USER_NOT_FOUND", null],
      ["2", 400, "BAD_REQUEST", "User already blocked", "USER_ALREADY_BLOCKED", null],
      ["3", 500, "INTERNAL_SERVER_ERROR", "Internal server error", "INTERNAL", null],
      ["4", 503, "SERVICE_UNAVAILABLE", "Temporarily unavailable, try again later", "UNAVAILABLE", "1"],
      ["5", 429, "TOO_MANY_REQUESTS", "Slow down", "RATE_LIMITED", "1"],
    ];
    for (const [digit, status, name, message, reason, retryAfter] of table)
      it(`to ${status} ${message}`, async () => {
        const answer = await call("POST", `${control}/block/${digit.repeat(8)}${ada.slice(8)}`);
        expect(answer.headers.get("retry-after")).to.equal(retryAfter);
        expect(answer.headers.get("x-error-reason")).to.equal(reason);
        expect(answer.headers.get("x-request-id")).to.equal(logged[0]?.requestId);
        expect(logged).to.have.length(1);
        await globeFailure(answer, status, name, message);
      });
  });

  describe("authenticates first", () => {
    it("and answers 401 whatever else is wrong with a request", async () => {
      const answer = await call("POST", `${control}/block/%ff?nope=1`, {
        headers: { "content-type": "text/plain" },
        body: "{",
      });
      expect(answer.headers.get("www-authenticate")).to.equal("Bearer");
      await globeFailure(answer, 401, "UNAUTHORIZED", "Authentication token is required");
      await statusFailure(
        await call("PATCH", settings, { headers: {}, body: "{" }),
        401,
        "Unauthorized",
        "Invalid or missing authentication",
      );
      await statusFailure(
        await call("PATCH", settings, { headers: { authorization: "bad" } }),
        401,
        "Unauthorized",
        "Invalid or expired JWT token",
      );
    });

    it("answers an upload without its body, and closes the connection", async () => {
      for (const length of ["content-length: 1000000", "transfer-encoding: chunked"]) {
        // The body never comes: an answer that waited for any of it would time this test out.
        const { text } = await raw(port, `PATCH ${settings} HTTP/1.1\r\nhost: x\r\n${length}\r\n\r\n`);
        expect(text).to.match(/^HTTP\/1\.1 401 /);
        expect(text.toLowerCase()).to.include("\r\nconnection: close\r\n");
      }
    });

    it("keeps the connection when the rest of the body is small", async () => {
      const { text } = await raw(
        port,
        `PATCH ${settings} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}` +
          `GET ${settings} HTTP/1.1\r\nhost: x\r\nauthorization: good\r\nconnection: close\r\n\r\n`,
      );
      expect(text.match(/HTTP\/1\.1 \d+/g)).to.deep.equal(["HTTP/1.1 401", "HTTP/1.1 200"]);
    });

    it("answers an HTTP/2 upload without its body, and resets the stream without an error", async () => {
      const session = await servers.http2(gateway);
      const { text, code } = await fetch2(session, { ":method": "PATCH", ":path": settings }, "{", true);
      expect(JSON.parse(text)).to.include({ code: 401 });
      expect(code).to.equal(http2.constants.NGHTTP2_NO_ERROR);
    });
  });

  describe("limits bodies", () => {
    const limit = 1024;
    const body = (length: number) => '{"setting":"last_seen","value":"all"}'.padEnd(length);

    it("to maxBodyBytes", async () => {
      expect((await call("PATCH", settings, { headers: json, body: body(limit) })).status).to.equal(200);
      await statusFailure(
        await call("PATCH", settings, { headers: json, body: body(limit + 1) }),
        413,
        "Content too large",
        "The request is too large",
      );
    });

    it("by content-length, before anything is read", async () => {
      const { text } = await raw(
        port,
        `PATCH ${settings} HTTP/1.1\r\nhost: x\r\nauthorization: good\r\n` +
          "content-type: application/json\r\ncontent-length: 1025\r\n\r\n",
      );
      expect(text).to.match(/^HTTP\/1\.1 413 /);
      expect(text.toLowerCase()).to.include("\r\nconnection: close\r\n");
    });

    it("that come in chunks, without waiting for the end", async () => {
      const { text } = await raw(
        port,
        `PATCH ${settings} HTTP/1.1\r\nhost: x\r\nauthorization: good\r\n` +
          `content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n401\r\n${" ".repeat(1025)}\r\n`,
      );
      expect(text).to.match(/^HTTP\/1\.1 413 /);
      expect(text.toLowerCase()).to.include("\r\nconnection: close\r\n");
    });

    it("of HTTP/2, and resets the stream without an error", async () => {
      const session = await servers.http2(gateway);
      const headers = { ":method": "PATCH", ":path": settings, ...json };
      expect((await fetch2(session, headers, body(limit))).headers[":status"]).to.equal(200);
      for (const declared of [{}, { "content-length": limit + 1 }]) {
        const { text, code } = await fetch2(session, { ...headers, ...declared }, body(limit + 1), true);
        expect(JSON.parse(text)).to.include({ code: 413 });
        expect(code).to.equal(http2.constants.NGHTTP2_NO_ERROR);
      }
      expect((await fetch2(session, { ":path": settings, ...good })).headers[":status"]).to.equal(200);
    });
  });

  it("serves HTTP/2", async () => {
    const session = await servers.http2(gateway);
    const block = await fetch2(
      session,
      { ":method": "POST", ":path": `${control}/block/${ada}`, ...json },
      "{}",
    );
    expect(block.headers).to.include({
      ":status": 200,
      "x-from-handler": "yes",
    });
    expect(JSON.parse(block.text)).to.have.nested.property("data.user.id", ada);
    const missing = await fetch2(session, { ":path": "/nope" });
    expect(JSON.parse(missing.text)).to.include({ httpStatus: "NOT_FOUND" });
    const unnamed = await fetch2(session, { ":method": "OPTIONS", ":path": "*" });
    expect(unnamed.headers[":status"]).to.equal(404);
    const head = await fetch2(session, { ":method": "HEAD", ":path": settings });
    expect([head.headers[":status"], head.text]).to.deep.equal([401, ""]);
  });
});
