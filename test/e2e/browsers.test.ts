import { expect } from "chai";
import type { CorsOrigins } from "../../src/config/security.ts";
import { postgresUrl } from "../support/cluster.ts";
import { exchange, openSession, talk } from "../support/raw-http.ts";
import { startService, type TestService } from "../support/service.ts";
import { startTestServer } from "../support/transport-server.ts";

const ada = "a11ce000-0000-4000-8000-000000000001";
const app = "https://app.example";
const control = "/api/v1/e-social/privacy-control";
const settings = "/users/me/privacy";
const rpc = "/nexgate.privacy.v1.PrivacyControlService/GetPrivacySettings";

/** What every public answer says to browsers. */
const standing: Record<string, string> = {
  "x-content-type-options": "nosniff",
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
};

describe("response headers for browsers", () => {
  const services: TestService[] = [];
  let closed: TestService;
  let some: TestService;
  let all: TestService;

  async function serviceFor(corsOrigins: CorsOrigins): Promise<TestService> {
    const service = await startService(await postgresUrl(), { corsOrigins });
    services.push(service);
    await service.graph.upsertUsers({ users: [{ id: ada, userName: "ada" }] }, await service.acting());
    return service;
  }
  before(async () => {
    closed = await serviceFor([]);
    some = await serviceFor(["https://other.example", app]);
    all = await serviceFor("*");
  });
  after(() => Promise.all(services.map((service) => service.stop(0))));

  const corsHeaders = (headers: Headers) =>
    Object.fromEntries(
      [...headers].filter(([name]) => name.startsWith("access-control-") || name === "vary"),
    );

  async function ask(service: TestService, path: string, headers: Record<string, string>, method = "GET") {
    const response = await fetch(service.publicUrl + path, { method, headers });
    await response.arrayBuffer();
    return response;
  }

  const preflight = (service: TestService, path: string, origin: string, method = "POST") =>
    ask(service, path, { origin, "access-control-request-method": method }, "OPTIONS");

  describe("with every answer", () => {
    const requests: [name: string, method: string, path: string, token: boolean, status: number][] = [
      ["a list", "GET", `${control}/blocked`, true, 200],
      ["settings", "GET", settings, true, 200],
      ["a refused token", "GET", settings, false, 401],
      ["a refused request", "POST", `${control}/block/nobody`, true, 400],
      ["an unknown user", "POST", `${control}/block/999e9999-e99b-99d9-a999-999999999999`, true, 404],
      ["an unknown path", "GET", "/nope", true, 404],
      ["a wrong method", "PUT", settings, true, 405],
      ["the probe of life", "GET", "/healthz", false, 200],
      ["the probe of readiness", "GET", "/readyz", false, 200],
      ["a wrong method of a probe", "POST", "/healthz", false, 405],
      ["a wrong method of a call", "PUT", rpc, true, 405],
      ["an RPC of another type", "POST", rpc, true, 415],
    ];
    for (const [name, method, path, hasToken, status] of requests)
      it(`over HTTP/1.1 and HTTP/2: ${name}`, async () => {
        const headers: Record<string, string> = hasToken
          ? { authorization: `Bearer ${await closed.userToken(ada)}` }
          : {};
        const response = await ask(closed, path, headers, method);
        expect(response.status).to.equal(status);
        expect(Object.fromEntries(response.headers)).to.include(standing);
        const session = openSession(closed.publicUrl);
        const answer = await exchange(session, { headers: { ":method": method, ":path": path, ...headers } });
        session.destroy();
        expect(answer.headers).to.include({ ":status": status, ...standing });
      });

    it("of Connect, gRPC-Web and gRPC", async () => {
      const authorization = `Bearer ${await closed.userToken(ada)}`;
      for (const type of ["application/json", "application/grpc-web+proto", "application/grpc"]) {
        const session = openSession(closed.publicUrl);
        const chunks = [Buffer.from(type.includes("json") ? "{}" : [0, 0, 0, 0, 0])];
        for (const token of [authorization, "bad"]) {
          const headers = { ":path": rpc, "content-type": type, te: "trailers", authorization: token };
          expect((await exchange(session, { headers, chunks })).headers).to.include(standing);
        }
        const unknown = { ":path": "/a.b.C/D", "content-type": type };
        expect((await exchange(session, { headers: unknown })).headers).to.include(standing);
        session.destroy();
      }
    });

    it("to bytes that are not HTTP", async () => {
      const port = Number(new URL(closed.publicUrl).port);
      for (const text of [
        "nonsense\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: pigs\r\nConnection: close\r\n\r\n",
      ]) {
        const answer = (await talk(port, text)).toLowerCase();
        for (const [name, value] of Object.entries(standing))
          expect(answer).to.contain(`${name}: ${value}\r\n`);
      }
    });

    it("replace a malformed one, and are never sent twice", async () => {
      const server = await startTestServer({
        listener: "public",
        rest: (request, response) => {
          response.setHeader("content-security-policy", "default-src 'self'");
          if (request.url === "/broken") throw new Error("broken");
          response.end();
        },
      });
      const broken = await fetch(`${server.listener.url}/broken`, { headers: { origin: app } });
      expect(broken.status).to.equal(500);
      expect(broken.headers.get("x-content-type-options")).to.equal("nosniff");
      expect(broken.headers.get("access-control-allow-origin")).to.equal(app);
      const docs = await fetch(`${server.listener.url}/docs`);
      expect(docs.headers.get("content-security-policy")).to.equal("default-src 'self'");
      await server.stop();
    });

    it("without Strict-Transport-Security where there is no TLS", async () => {
      const { headers } = await fetch(`${closed.publicUrl}/healthz`);
      expect(headers.get("strict-transport-security")).to.equal(null);
    });
  });

  describe("of other origins", () => {
    const exposed =
      "consistency-token, etag, link, ratelimit, ratelimit-policy, retry-after, x-error-reason, x-request-id, grpc-status, grpc-message, " +
      "grpc-status-details-bin, content-encoding, connect-content-encoding";

    it("is absent by default", async () => {
      for (const [path, status] of [
        [settings, 204],
        [rpc, 405],
        ["/healthz", 405],
        ["/nope", 404],
      ] as const) {
        const answer = await preflight(closed, path, app);
        expect(answer.status).to.equal(status);
        expect(corsHeaders(answer.headers)).to.eql({});
      }
      expect(corsHeaders((await ask(closed, settings, { origin: app })).headers)).to.eql({});
    });

    it("answers a preflight of an allowed origin with what the path allows", async () => {
      const cases: [path: string, methods: string][] = [
        [settings, "GET, HEAD, PATCH"],
        [`/api/v1${settings}/last_seen/exceptions`, "GET, HEAD, PATCH"],
        [`${control}/block/${ada}?x=1`, "POST, PATCH"],
        [`${control}/unblock/${ada}`, "DELETE"],
        [rpc, "POST, GET"],
        [rpc.replace("GetPrivacySettings", "BlockUser"), "POST"],
      ];
      for (const [path, methods] of cases) {
        const answer = await preflight(some, path, app);
        expect(answer.status).to.equal(204);
        expect(corsHeaders(answer.headers)).to.eql({
          "access-control-allow-origin": app,
          "access-control-allow-methods": methods,
          "access-control-allow-headers":
            "authorization, if-none-match, content-type, connect-protocol-version, connect-timeout-ms, connect-content-encoding, " +
            "connect-accept-encoding, content-encoding, accept-encoding, grpc-message-type, x-grpc-web, " +
            "x-user-agent, grpc-timeout, cache-control, pragma, x-requested-with, x-request-id, x-correlation-id, " +
            "idempotency-key, traceparent, tracestate, baggage, sentry-trace, b3, x-b3-traceid, x-b3-spanid, " +
            "x-b3-parentspanid, x-b3-sampled, x-datadog-trace-id, x-datadog-parent-id, " +
            "x-datadog-sampling-priority, x-datadog-origin, newrelic",
          "access-control-max-age": "600",
          vary: "origin",
        });
        expect(Object.fromEntries(answer.headers)).to.include(standing);
      }
    });

    it("is that it may read an answer, if it is allowed", async () => {
      const authorization = `Bearer ${await some.userToken(ada)}`;
      for (const [path, status] of [
        [settings, 200],
        ["/nope", 404],
        ["/healthz", 200],
        [rpc, 415],
      ] as const) {
        const answer = await ask(some, path, { origin: app, authorization }, status === 415 ? "POST" : "GET");
        expect(answer.status).to.equal(status);
        expect(corsHeaders(answer.headers)).to.eql({
          "access-control-allow-origin": app,
          "access-control-expose-headers": exposed,
          vary: "origin",
        });
      }
    });

    it("may read a refusal that comes before the request is processed", async () => {
      const server = await startTestServer({
        listener: "public",
        limits: { headersMs: 200, requestMs: 200, sweepMs: 20 },
        rest: (request, response) => void request.on("end", () => response.end()).resume(),
      });
      const head = `POST /x HTTP/1.1\r\nHost: h\r\nOrigin: ${app}\r\n`;
      for (const [status, text] of [
        [400, `${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
        [417, `${head}Expect: pigs\r\nConnection: close\r\n\r\n`],
        [408, `${head}Content-Length: 10\r\n\r\n{`],
        [413, `${head}Transfer-Encoding: chunked\r\n\r\n1;${"a".repeat(17_000)}\r\nb\r\n0\r\n\r\n`],
        [400, `${head.replace("/x", rpc).replace("Host: h", "Host: [")}Connection: close\r\n\r\n`],
      ] as const) {
        const answer = (await talk(server.listener.port, text)).toLowerCase();
        expect(answer).to.match(new RegExp(`^http/1\\.1 ${status} `));
        expect(answer).to.contain(`access-control-allow-origin: ${app}\r\n`);
        expect(answer).to.match(/access-control-expose-headers: [^\r]*retry-after/);
      }
      await server.stop();
    });

    it("is that an app may, whose scheme is its own", async () => {
      const service = await serviceFor(["capacitor://localhost", "http://localhost:8100"]);
      for (const origin of ["capacitor://localhost", "http://localhost:8100"])
        expect(
          (await preflight(service, settings, origin)).headers.get("access-control-allow-origin"),
        ).to.equal(origin);
    });

    it("is only `Vary` for an origin that is not allowed", async () => {
      for (const origin of [
        "https://evil.example",
        "https://app.example.evil.example",
        "https://app.example:444",
        "http://app.example",
        "https://sub.app.example",
        "https://APP.example",
        "null",
        "",
        `${app}, ${app}`,
      ]) {
        expect((await preflight(some, settings, origin)).status, origin).to.equal(204);
        for (const answer of [
          await preflight(some, settings, origin),
          await ask(some, settings, { origin }),
          await preflight(some, rpc, origin),
        ])
          expect(corsHeaders(answer.headers), origin).to.eql({ vary: "origin" });
      }
      expect(corsHeaders((await ask(some, settings, {})).headers)).to.eql({ vary: "origin" });
    });

    it("is an ordinary answer on paths without CORS, and to OPTIONS that is no preflight", async () => {
      expect((await preflight(some, "/nope", app)).status).to.equal(404);
      expect((await preflight(some, `${settings}/`, app)).status).to.equal(404);
      const options = await ask(some, settings, { origin: app }, "OPTIONS");
      expect([options.status, options.headers.get("allow")]).to.eql([204, "GET, HEAD, PATCH, OPTIONS"]);
    });

    it("is that all may read, when all are allowed; never with their cookies", async () => {
      const answer = await ask(all, settings, { origin: "https://anyone.example" });
      expect(corsHeaders(answer.headers)).to.eql({
        "access-control-allow-origin": "*",
        "access-control-expose-headers": exposed,
      });
      const first = await preflight(all, settings, "null");
      expect(first.status).to.equal(204);
      expect(first.headers.get("access-control-allow-credentials")).to.equal(null);
    });

    it("is the same for gRPC-Web and gRPC", async () => {
      const session = openSession(some.publicUrl);
      const authorization = `Bearer ${await some.userToken(ada)}`;
      for (const type of ["application/grpc-web+proto", "application/grpc"])
        for (const [origin, allowed] of [
          [app, app],
          ["https://evil.example", undefined],
        ] as const) {
          const headers = { ":path": rpc, "content-type": type, te: "trailers", authorization, origin };
          const answer = await exchange(session, { headers, chunks: [Buffer.alloc(5)] });
          expect(answer.headers[":status"]).to.equal(200);
          expect(answer.headers["access-control-allow-origin"]).to.equal(allowed);
        }
      session.destroy();
    });
  });
});
