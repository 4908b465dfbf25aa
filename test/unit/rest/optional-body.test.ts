import { expect } from "chai";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { service } from "../../../src/call/service.ts";
import { fetch2, raw, Servers, testGateway } from "./servers.ts";

const ada = "999e9999-e99b-99d9-a999-999999999999";
const block = `/api/v1/e-social/privacy-control/block/${ada}`;
const mute = `/api/v1/e-social/privacy-control/mute/${ada}`;
const json = "content-type: application/json\r\n";

describe("an optional body", () => {
  const handled: unknown[] = [];
  const record = ({ $typeName, ...fields }: { $typeName: string }) => handled.push(fields);
  const { gateway } = testGateway([
    service(PrivacyControlService, {
      blockUser: (request) => {
        record(request);
        return { block: { id: "1", createdAt: { seconds: 1n } } };
      },
      muteUser: (request) => {
        record(request);
        return { mute: { id: "1", createdAt: { seconds: 1n } } };
      },
    }),
  ]);
  const servers = new Servers();
  let port = 0;
  before(async () => {
    port = await servers.http1(gateway);
  });
  after(() => servers.close());
  beforeEach(() => {
    handled.length = 0;
  });

  const post = async (path: string, rest: string) => {
    const head = `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: good\r\nconnection: close\r\n`;
    const { text } = await raw(port, head + rest);
    return text.replace(/^date: .*\r\n/im, "").replace(/^x-request-id: .*\r\n/im, "");
  };
  const withBody = (path: string, body: string, headers = json) =>
    post(path, `${headers}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);

  const none: [string, string][] = [
    ["no header of a body", "\r\n"],
    ["a length of 0", "content-length: 0\r\n\r\n"],
    ["a length of 0 and a media type", `${json}content-length: 0\r\n\r\n`],
    ["a length of 0 and another media type", "content-type: text/plain\r\ncontent-length: 0\r\n\r\n"],
    ["no chunk", "transfer-encoding: chunked\r\n\r\n0\r\n\r\n"],
    ["no chunk and a media type", `${json}transfer-encoding: chunked\r\n\r\n0\r\n\r\n`],
    ["an empty object", `${json}content-length: 2\r\n\r\n{}`],
    ["an empty object in chunks", `${json}transfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n`],
    ["white space", `${json}content-length: 3\r\n\r\n \r\n`],
    ["null", `${json}content-length: 4\r\n\r\nnull`],
    ["null for a time", `${json}content-length: 18\r\n\r\n{"expiresAt":null}`],
  ];
  for (const [what, rest] of none)
    it(`that is ${what} is the documented call, byte for byte`, async () => {
      const [head, text] = (await post(block, rest)).split("\r\n\r\n");
      expect(head?.split("\r\n")).to.eql([
        "HTTP/1.1 200 OK",
        "content-type: application/json; charset=utf-8",
        `content-length: ${text?.length}`,
        "Connection: close",
      ]);
      expect(text).to.equal(
        '{"success":true,"httpStatus":"OK","message":"User blocked successfully",' +
          '"action_time":"2025-12-11T10:30:45Z","data":{"id":"1","user":null,"createdAt":"1970-01-01T00:00:01Z"}}',
      );
      await post(mute, rest);
      expect(handled).to.eql([{ userId: ada }, { userId: ada, scopes: [] }]);
    });

  const bad: [number, string, string][] = [
    [400, '{"userId":"x"}', "Unknown field: userId"],
    [400, `{"userId":"${ada}"}`, "Unknown field: userId"],
    [400, `{"user_id":"${ada}"}`, "Unknown field: user_id"],
    [400, '{"x":null}', "Unknown field: x"],
    [400, '{"updateMask":"expires_at"}', "Unknown field: updateMask"],
    [400, '{"expiresAt":1}', "expiresAt must be an RFC 3339 time"],
    [400, '{"expiresAt":{"seconds":1}}', "expiresAt must be an RFC 3339 time"],
    [400, '{"scopes":null}', "scopes must be an array"],
    [400, '{"scopes":"content"}', "scopes must be an array"],
    [400, '{"scopes":[1]}', "scopes[0] must be one of content, notifications"],
    [400, '{"scopes":["content","MUTE_SCOPE_CONTENT"]}', "scopes[1] must be one of content, notifications"],
    [400, '{"scopes":["content","content"]}', "scopes repeated value must contain unique items"],
    [400, '{"expiresAt":null,"expires_at":null}', "expiresAt must be given once"],
    [400, '{"expiresAt":null,"expiresAt":null}', "Malformed JSON body"],
    [400, "{", "Malformed JSON body"],
    [400, "[]", "The body must be a JSON object"],
    [400, '""', "The body must be a JSON object"],
    [400, "0", "The body must be a JSON object"],
  ];
  for (const [status, body, message] of bad)
    it(`refuses ${body}`, async () => {
      const text = await withBody(mute, body);
      expect(text).to.match(new RegExp(`^HTTP/1.1 ${status} `));
      expect(JSON.parse(text.slice(text.indexOf("{")))).to.include({ message, data: message });
      expect(handled).to.eql([]);
    });

  it("has no scopes where the request has none", async () => {
    expect(await withBody(block, '{"scopes":[]}')).to.include("Unknown field: scopes");
  });

  for (const type of ["", "content-type: text/plain\r\n", "content-type: application/merge-patch+json\r\n"])
    it(`is JSON, not ${JSON.stringify(type)}`, async () => {
      for (const body of ["{}", " ", '{"expiresAt":"2026-12-24T18:00:00Z"}'])
        expect(await withBody(block, body, type)).to.match(/^HTTP\/1\.1 415 /);
      expect(handled).to.eql([]);
    });

  it("sets the fields that it names", async () => {
    const body = '{"scopes":["notifications","content"],"expires_at":"2026-12-24T19:00:00.5+01:00"}';
    expect(await withBody(mute, body)).to.match(/^HTTP\/1\.1 200 /);
    expect(
      JSON.stringify(handled, (_, value) => (typeof value === "bigint" ? Number(value) : value)),
    ).to.equal(
      JSON.stringify([
        {
          userId: ada,
          scopes: [2, 1],
          expiresAt: {
            $typeName: "google.protobuf.Timestamp",
            seconds: Date.parse("2026-12-24T18:00:00Z") / 1000,
            nanos: 500_000_000,
          },
        },
      ]),
    );
  });

  it("may be missing or empty over HTTP/2", async () => {
    const session = await servers.http2(gateway);
    const headers = { ":method": "POST", ":path": block, authorization: "good" };
    const ask = async (more: object, body?: string) => {
      const { headers: answer, text } = await fetch2(session, { ...headers, ...more }, body);
      return [answer[":status"], text] as const;
    };
    const [status, documented] = await ask({});
    expect(status).to.equal(200);
    const typed = { "content-type": "application/json" };
    for (const [more, body] of [
      [{}, ""],
      [{ "content-length": 0 }, undefined],
      [{ "content-length": 0 }, ""],
      [{ "content-type": "text/plain" }, ""],
      [typed, ""],
      [typed, "{}"],
      [typed, "null"],
    ] as const)
      expect(await ask(more, body), JSON.stringify([more, body])).to.eql([200, documented]);
    expect(handled).to.eql(Array(8).fill({ userId: ada }));
    expect((await ask({}, "{}"))[0]).to.equal(415);
    expect((await ask(typed, '{"userId":null}'))[0]).to.equal(400);
  });
});
