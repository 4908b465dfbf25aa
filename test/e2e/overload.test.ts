import { once } from "node:events";
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { expect } from "chai";
import { pino } from "pino";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { AccessService } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { reasonOf } from "../../src/call/errors.ts";
import { CallPipeline } from "../../src/call/pipeline.ts";
import { service } from "../../src/call/service.ts";
import { HealthState, healthService } from "../../src/grpc/health.ts";
import type { Listener } from "../../src/http/listen.ts";
import { openPublicListener } from "../../src/http/listeners.ts";
import { Metrics } from "../../src/metrics/metrics.ts";
import { AdaptiveConcurrencyLimiter } from "../../src/overload/adaptive-concurrency-limiter.ts";
import { renderFailure } from "../../src/rest/envelopes.ts";
import { createRestGateway } from "../../src/rest/gateway.ts";
import { openDatabase } from "../../src/store/database.ts";
import { startService } from "../support/service.ts";

const settings = "/users/me/privacy";
const blocked = "/api/v1/e-social/privacy-control/blocked";
const busy = "Too busy, try again soon";

const transports: [string, (baseUrl: string) => Transport][] = [
  ["gRPC", (baseUrl) => createGrpcTransport({ baseUrl })],
  ["gRPC-Web", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
  ["Connect", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" })],
  ["Connect's GET", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1", useHttpGet: true })],
];

for (const fastPath of [true, false])
  describe(`a listener without room, ${fastPath ? "with" : "without"} the fast path`, () => {
    let listener: Listener;
    let held: PromiseWithResolvers<void>;
    let atWork: PromiseWithResolvers<void>;
    let metrics: Metrics;
    let authenticated = 0;
    let full = false;

    before(async () => {
      const log = pino({ level: "silent" });
      metrics = new Metrics();
      const calls = new CallPipeline({
        services: [
          service(PrivacyControlService, {
            async getPrivacySettings() {
              atWork.resolve();
              await held.promise;
              return { settings: {} };
            },
            updatePrivacySetting: () => ({}),
            listBlockedUsers: () => ({}),
          }),
          service(GraphService, { upsertUsers: () => ({}) }, { isOverloaded: () => full }),
          healthService(new HealthState([])),
        ],
        authenticate: async () => void authenticated++,
        log,
        observer: metrics.calls,
        limiter: new AdaptiveConcurrencyLimiter(1, log),
      });
      const rest = createRestGateway({ calls, log, maxBodyBytes: 1_024 });
      const ready = () => true;
      listener = await openPublicListener({
        ...{ host: "127.0.0.1", port: 0, calls, renderFailure, log, fastPath, ready },
        rest: rest.handle,
        methodsAt: rest.methodsAt,
      });
    });
    after(() => listener.close(0));

    /** Fills the one place there is, until `held` is resolved. */
    async function fill(): Promise<{ answer: Promise<Response> }> {
      const answer = fetch(listener.url + settings);
      await atWork.promise;
      authenticated = 0;
      return { answer };
    }
    beforeEach(() => {
      held = Promise.withResolvers();
      atWork = Promise.withResolvers();
    });
    afterEach(() => held.resolve());

    it("answers 503 with `Retry-After` over REST, before it reads the token", async () => {
      await fill();
      const status = await fetch(listener.url + settings, {
        method: "PATCH",
        body: '{"setting":"groups","value":"all"}',
      });
      expect([status.status, await status.json()]).to.eql([
        503,
        { status: false, code: 503, message: "Service unavailable", error: busy },
      ]);
      const globe = await fetch(listener.url + blocked);
      expect(globe.status).to.equal(503);
      expect(await globe.json()).to.include({ httpStatus: "SERVICE_UNAVAILABLE", message: busy, data: busy });
      for (const { headers } of [status, globe]) {
        expect(headers.get("retry-after")).to.equal("1");
        expect(headers.get("x-error-reason")).to.equal("OVERLOADED");
        expect(headers.get("x-content-type-options")).to.equal("nosniff");
      }
      expect(authenticated).to.equal(0);
    });

    for (const [name, transport] of transports)
      it(`answers RESOURCE_EXHAUSTED over ${name}, and when to come again`, async () => {
        const { answer } = await fill();
        const client = createClient(PrivacyControlService, transport(listener.url));
        const error = await client.listBlockedUsers({}).then(
          () => expect.fail("the call succeeded"),
          (reason: unknown) => ConnectError.from(reason),
        );
        expect([error.code, reasonOf(error)]).to.eql([Code.ResourceExhausted, "OVERLOADED"]);
        expect(error.rawMessage).to.equal(busy);
        expect(error.findDetails(RetryInfoSchema)[0]?.retryDelay?.seconds).to.equal(1n);
        expect(error.metadata.get("retry-after")).to.equal("1");
        held.resolve();
        await (await answer).arrayBuffer();
        await client.listBlockedUsers({});
      });

    it("counts rejections by method, over REST and RPC", async () => {
      await fill();
      const lines = async () => (await metrics.render()).body.split("\n");
      const [name, labels] = [
        "privacy_control_refusals_total",
        `{method="${PrivacyControlService.typeName}/ListBlockedUsers",reason="overloaded"}`,
      ];
      const refused = async () =>
        Number(
          (await lines())
            .find((line) => line.startsWith(name + labels))
            ?.split(" ")
            .at(-1) ?? 0,
        );
      const before = await refused();
      await fetch(listener.url + blocked);
      for (const [, transport] of transports)
        await createClient(PrivacyControlService, transport(listener.url))
          .listBlockedUsers({})
          .catch(() => {});
      expect((await refused()) - before).to.equal(1 + transports.length);
      expect(
        (await lines()).filter((line) => /^privacy_control_calls_total.*method="none"/.test(line)),
      ).to.eql([]);
      expect((await lines()).join("\n")).to.match(
        /^privacy_control_calls_total\{method="[\w.]+\/ListBlockedUsers",protocol="rest",code="resource_exhausted"\}/m,
      );
    });

    it("refuses calls of a service that is full, and no others", async () => {
      full = true;
      for (const [, transport] of transports) {
        const graph = createClient(GraphService, transport(listener.url));
        const error = await graph.upsertUsers({}).catch(ConnectError.from);
        expect(reasonOf(error as ConnectError)).to.equal("OVERLOADED");
        await createClient(PrivacyControlService, transport(listener.url)).listBlockedUsers({});
      }
      full = false;
      for (const [, transport] of transports) {
        const graph = createClient(GraphService, transport(listener.url));
        const error = await graph.upsertUsers({}).catch(ConnectError.from);
        expect((error as ConnectError).code).to.equal(Code.InvalidArgument);
      }
    });

    it("still answers the liveness probe", async () => {
      await fill();
      for (const path of ["/healthz", "/readyz"])
        expect((await fetch(listener.url + path)).status).to.equal(200);
      for (const [, transport] of transports) await createClient(Health, transport(listener.url)).check({});
    });

    it("gives no slot to a client that has not sent its request", async () => {
      const slow = request(listener.url + settings, {
        method: "PATCH",
        headers: { "content-type": "application/json", "content-length": 39 },
      });
      authenticated = 0;
      slow.write('{"setting":"groups",');
      while (authenticated === 0) await new Promise(setImmediate);
      expect((await fetch(listener.url + blocked)).status).to.equal(200);
      slow.end('     "value":"all"}');
      const [answer] = await once(slow, "response");
      expect(answer.statusCode).to.equal(200);
      answer.resume();
    });
  });

describe("a listener that was overloaded for a moment", () => {
  it("admits a burst again soon, without calls in between", async () => {
    const log = pino({ level: "silent" });
    const limiter = new AdaptiveConcurrencyLimiter(400, log);
    let workMs = 300;
    const calls = new CallPipeline({
      services: [
        service(PrivacyControlService, {
          getPrivacySettings: () => sleep(workMs).then(() => ({ settings: {} })),
        }),
      ],
      authenticate: async () => {},
      log,
      limiter,
    });
    const rest = createRestGateway({ calls, log, maxBodyBytes: 1_024 });
    const listener = await openPublicListener({
      ...{ host: "127.0.0.1", port: 0, calls, renderFailure, log, rest: rest.handle, ready: () => true },
    });
    await using _ = { [Symbol.asyncDispose]: () => listener.close(0) };
    const call = async () => {
      const { status, body } = await fetch(listener.url + settings);
      await body?.cancel();
      return status;
    };
    const burst = 300;
    // More than there is room for: windows in which calls are refused last until enough are answered.
    const slow = Array.from({ length: 410 }, async () => {
      while (limiter.limit >= burst) await call();
    });
    await Promise.all(slow);
    workMs = 1;
    while (limiter.limit < burst) await sleep(10);
    const statuses = await Promise.all(Array.from({ length: burst }, call));
    expect(statuses.filter((status) => status !== 200)).to.eql([]);
  });
});

describe("a service whose database has no free connection", () => {
  for (const sendsAway of [true, false])
    it(`${sendsAway ? "rejects" : "accepts"} calls over REST, ${sendsAway ? "before" : "and"} it reads the token`, async () => {
      const service = await startService(undefined, {}, async (options) => ({
        ...(await openDatabase(options)),
        isSaturated: () => sendsAway,
      }));
      await using _ = { [Symbol.asyncDispose]: () => service.stop(0).then(() => {}) };
      const answer = await fetch(service.publicUrl + settings);
      expect(answer.status).to.equal(sendsAway ? 503 : 401);
      expect((await fetch(`${service.publicUrl}/readyz`)).status).to.equal(200);
      const access = createClient(AccessService, createGrpcTransport({ baseUrl: service.internalUrl }));
      const error = ConnectError.from(await access.checkAccess({}).catch((reason: unknown) => reason));
      expect(error.code).to.equal(Code.Unauthenticated);
    });
});
