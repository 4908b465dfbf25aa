import { constants } from "node:http2";
import { createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { expect } from "chai";
import fc from "fast-check";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { http2Frame, preface } from "../../support/frames.ts";
import { exchange, openSession, openTcp, talk } from "../../support/raw-http.ts";
import { secretText, startTestServer, type TestServer } from "../../support/transport-server.ts";

const envelopeKeys = ["success", "httpStatus", "message", "action_time", "data"];

function expectEnvelope(text: string, httpStatus: string, message: string): void {
  const body = JSON.parse(text);
  expect(Object.keys(body)).to.eql(envelopeKeys);
  expect(body).to.include({ success: false, httpStatus, message, data: message });
  expect(body.action_time).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
}

describe("the listeners", () => {
  let external: TestServer;
  let internal: TestServer;
  let ready: boolean;
  before(async () => {
    external = await startTestServer({ listener: "public", ready: () => ready });
    internal = await startTestServer({ listener: "internal" });
  });
  after(async () => {
    await external.stop();
    await internal.stop();
  });
  beforeEach(() => {
    ready = true;
  });

  const get = (server: TestServer, path: string, init?: RequestInit) =>
    fetch(server.listener.url + path, init);
  const overHttp2 = async (server: TestServer, headers: Record<string, string>) => {
    const session = openSession(server.listener.url);
    const answer = await exchange(session, { headers });
    session.destroy();
    return answer;
  };

  for (const listener of ["public", "internal"] as const) {
    const transports = {
      gRPC: (baseUrl: string) => createGrpcTransport({ baseUrl }),
      "gRPC-Web, HTTP/1.1": (baseUrl: string) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
      "gRPC-Web, HTTP/2": (baseUrl: string) => createGrpcWebTransport({ baseUrl, httpVersion: "2" }),
      "Connect, HTTP/1.1": (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "1.1" }),
      "Connect, HTTP/2": (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "2" }),
    };
    for (const [name, transport] of Object.entries(transports)) {
      it(`answer ${name} on the ${listener} listener`, async () => {
        const server = listener === "public" ? external : internal;
        const client = createClient(PrivacyControlService, transport(server.listener.url));
        const reply = await client.getPrivacySettings({}, { headers: { authorization: "t" } });
        expect(reply.$typeName).to.equal("nexgate.privacy.v1.GetPrivacySettingsResponse");
      });

      it(`accept a deadline beyond the range of Node's timers, for ${name} on the ${listener} listener`, async () => {
        const server = listener === "public" ? external : internal;
        const client = createClient(PrivacyControlService, transport(server.listener.url));
        const deadline = { "grpc-timeout": "1440H", "connect-timeout-ms": "5184000000" };
        const reply = await client.getPrivacySettings(
          {},
          { headers: { authorization: "t", "x-do": "pause", ...deadline } },
        );
        expect(reply.$typeName).to.equal("nexgate.privacy.v1.GetPrivacySettingsResponse");
      });
    }

    it(`answer status 12 for an unknown gRPC method on the ${listener} listener`, async () => {
      const server = listener === "public" ? external : internal;
      for (const type of ["application/grpc", "application/grpc+proto", "application/grpc-web+proto"]) {
        const answer = await overHttp2(server, { ":path": "/a.b.C/D", "content-type": type });
        expect(answer.headers).to.include({ ":status": 200, "grpc-status": "12" });
        expect(answer.trailers).to.eql({});
        expect(answer.headers["content-type"]).to.match(
          type.includes("web") ? /^application\/grpc-web/ : /grpc\+proto$/,
        );
        const response = await get(server, "/a.b.C/D", { method: "POST", headers: { "content-type": type } });
        expect(response.headers.get("grpc-status")).to.equal("12");
      }
    });
  }

  it("answer everything else by REST on the public port", async () => {
    const response = await get(external, "/anything?x=1", { method: "PATCH" });
    expect([response.status, await response.text()]).to.eql([418, "rest PATCH /anything?x=1"]);
    const answer = await overHttp2(external, { ":path": "/anything", ":method": "PUT" });
    expect(Buffer.from(answer.body, "hex").toString()).to.equal("rest PUT /anything");
  });

  it("accept targets in absolute form", async () => {
    for (const [target, found] of [
      ["http://h/x?y=http://z/", "/x?y=http://z/"],
      ["HTTPS://h:1", "/"],
      ["http://h?x", "/?x"],
    ]) {
      const request = `GET ${target} HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n`;
      expect(await talk(external.listener.port, request))
        .to.match(/^HTTP\/1\.1 418 /)
        .and.to.contain(`rest GET ${found}`);
    }
    const path = "/nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings";
    const call = (authority: string) =>
      talk(
        external.listener.port,
        `POST http://${authority}${path} HTTP/1.1\r\nHost: h\r\nAuthorization: t\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`,
      );
    expect(await call("h")).to.match(/^HTTP\/1\.1 200 /);
    // It is the authority of the target that counts.
    expect(await call("x:99999")).to.match(/^HTTP\/1\.1 400 /);
  });

  it("answer everything else 404 on the internal port", async () => {
    for (const path of [
      "/",
      "/healthz",
      "/nexgate.privacy.v1.GraphService/No",
      "/nexgate.privacy.v1.GraphService",
    ]) {
      const response = await get(internal, path);
      expect(response.status).to.equal(404);
      expect(response.headers.get("content-type")).to.equal("application/json; charset=utf-8");
      expectEnvelope(await response.text(), "NOT_FOUND", "Not found");
    }
  });

  it("answer 405 and 415 to an unsupported method or media type of an RPC", async () => {
    const path = "/nexgate.privacy.v1.GraphService/GetUser";
    const wrongMethod = await get(internal, path, { method: "PUT" });
    expect([wrongMethod.status, wrongMethod.headers.get("allow")]).to.eql([405, "POST, GET"]);
    expectEnvelope(await wrongMethod.text(), "METHOD_NOT_ALLOWED", "Method not allowed");
    const wrongType = await get(internal, path, {
      method: "POST",
      body: "x",
      headers: { "content-type": "text/plain" },
    });
    expect(wrongType.status).to.equal(415);
    expectEnvelope(await wrongType.text(), "UNSUPPORTED_MEDIA_TYPE", "Unsupported media type");
  });

  it("answer 500 without details when a handler of REST fails", async () => {
    for (const rest of [
      () => {
        throw new Error(secretText);
      },
      () => Promise.reject(new Error(secretText)),
    ]) {
      const server = await startTestServer({ listener: "public", rest });
      const response = await get(server, "/x");
      expect(response.status).to.equal(500);
      expectEnvelope(await response.text(), "INTERNAL_SERVER_ERROR", "Internal server error");
      expect(server.lines.map(({ level }) => level)).to.eql([50]);
      await server.stop();
    }
  });

  describe("their probes", () => {
    it("report that the process runs", async () => {
      ready = false;
      const response = await get(external, "/healthz?x");
      expect([response.status, await response.json()]).to.eql([200, { status: "ok" }]);
      expect(response.headers.get("cache-control")).to.equal("no-store");
    });

    it("report whether it is ready", async () => {
      const states: [boolean, number, string][] = [
        [true, 200, "ready"],
        [false, 503, "unavailable"],
      ];
      for (const [answer, status, word] of states) {
        ready = answer;
        const response = await get(external, "/readyz");
        expect([response.status, await response.json()]).to.eql([status, { status: word }]);
        expect(response.headers.get("cache-control")).to.equal("no-store");
      }
    });

    it("answer HEAD without a body, and no other method", async () => {
      for (const path of ["/healthz", "/readyz"]) {
        const head = await get(external, path, { method: "HEAD" });
        expect([head.status, await head.text()]).to.eql([200, ""]);
        const post = await get(external, path, { method: "POST" });
        expect([post.status, post.headers.get("allow")]).to.eql([405, "GET, HEAD"]);
        expect((await overHttp2(external, { ":method": "HEAD", ":path": path })).headers[":status"]).to.equal(
          200,
        );
      }
    });
  });

  describe("a malformed request", () => {
    const cases: [name: string, text: string, status: number, phrase: string][] = [
      ["nonsense", "nonsense\r\n\r\n", 400, "BAD_REQUEST"],
      ["TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "BAD_REQUEST"],
      ["a bad header", "GET / HTTP/1.1\r\nHost: h\r\nA B: c\r\n\r\n", 400, "BAD_REQUEST"],
      [
        "two lengths",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        400,
        "BAD_REQUEST",
      ],
      [
        "length and chunks",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "BAD_REQUEST",
      ],
      [
        "large headers",
        `GET / HTTP/1.1\r\nHost: h\r\nA: ${"a".repeat(17_000)}\r\n\r\n`,
        431,
        "REQUEST_HEADER_FIELDS_TOO_LARGE",
      ],
      [
        "large chunk extensions",
        `POST /nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings HTTP/1.1\r\nHost: h\r\nAuthorization: t\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1;${"a".repeat(17_000)}\r\nb\r\n0\r\n\r\n`,
        413,
        "CONTENT_TOO_LARGE",
      ],
      ["two hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: g\r\n\r\n", 400, "BAD_REQUEST"],
      [
        "another transfer coding",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        400,
        "BAD_REQUEST",
      ],
      [
        "a transfer coding of HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "BAD_REQUEST",
      ],
      ["another version of HTTP", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 400, "BAD_REQUEST"],
      ["a wish for a tunnel", "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "BAD_REQUEST"],
      ["no host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400, "BAD_REQUEST"],
      [
        "an expectation",
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: pigs\r\nConnection: close\r\n\r\n",
        417,
        "EXPECTATION_FAILED",
      ],
    ];
    for (const [name, text, status, phrase] of cases) {
      it(`is answered ${status} in the envelope, and the connection closes: ${name}`, async () => {
        const answer = await talk(external.listener.port, text);
        expect(answer).to.match(new RegExp(`^HTTP/1\\.1 ${status} `));
        const [head = "", body = ""] = answer.split("\r\n\r\n");
        expect(head.toLowerCase()).to.contain("connection: close").and.to.contain("application/json");
        expect(JSON.parse(body)).to.include({ success: false, httpStatus: phrase });
      });
    }

    it("gets no answer within an answer that has begun", async () => {
      const request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
      expect(await talk(internal.listener.port, `${request}nonsense`)).not.to.contain(" 400 ");
    });

    it("does no harm: random bytes", async () => {
      const start = fc.constantFrom(
        Buffer.alloc(0),
        Buffer.from("POST /nexgate.privacy.v1.GraphService/GetUser HTTP/1.1\r\nHost: h\r\n"),
        preface,
        Buffer.concat([preface, http2Frame(4, 0, 0, Buffer.alloc(0))]),
      );
      const framed = fc
        .tuple(fc.nat(11), fc.nat(255), fc.nat(5), fc.uint8Array({ maxLength: 60 }))
        .map((parts) => http2Frame(...parts));
      const rest = fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.array(framed, { maxLength: 5 }).map(Buffer.concat),
      );
      const property = fc.asyncProperty(start, rest, async (head, tail) => {
        const { socket } = await openTcp(internal.listener.port);
        socket.end(Buffer.concat([head, tail]));
        await new Promise((resolve) => socket.once("close", resolve));
      });
      await fc.assert(property, { numRuns: 300 });
      expect((await get(internal, "/")).status).to.equal(404);
    });

    it("may omit the host in HTTP/1.0", async () => {
      expect(await talk(external.listener.port, "GET /x HTTP/1.0\r\n\r\n")).to.match(/ 418 /);
    });

    it("is reset over HTTP/2 when headers are large", async () => {
      const session = openSession(external.listener.url);
      // The limit holds once the client has acknowledged it; until then it is 64 KiB.
      await new Promise((resolve) => session.once("remoteSettings", resolve));
      const { reset } = await exchange(session, { headers: { ":path": "/x", a: "a".repeat(17_000) } });
      expect(reset).to.equal(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      session.destroy();
    });
  });

  it("allow 100 concurrent streams on the public port and 1,000 on the internal one", async () => {
    for (const [server, limit] of [
      [external, 100],
      [internal, 1_000],
    ] as const) {
      const session = openSession(server.listener.url);
      await new Promise((resolve) => session.once("remoteSettings", resolve));
      expect(session.remoteSettings.maxConcurrentStreams).to.equal(limit);
      session.destroy();
    }
  });

  it("survive a handler that sets a header which HTTP/2 forbids", async () => {
    for (const fastPath of [true, false]) {
      const server = await startTestServer({ fastPath });
      const session = openSession(server.listener.url);
      const headers = {
        ":path": "/nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings",
        "content-type": "application/grpc",
        authorization: "t",
      };
      const chunks = [Buffer.alloc(5)];
      const bad = await exchange(session, { headers: { ...headers, "x-do": "bad-header" }, chunks });
      expect(bad.trailers["grpc-status"]).to.equal(undefined);
      expect(server.lines.map(({ msg }) => msg)).to.contain("an RPC could not be answered");
      const good = await exchange(session, { headers, chunks });
      expect(good.trailers["grpc-status"]).to.equal("0");
      session.destroy();
      await server.stop();
    }
  });
});
