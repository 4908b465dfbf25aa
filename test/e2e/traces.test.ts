import { randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import { AccessService, Interaction } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import type { TracingConfig } from "../../src/config/tracing.ts";
import { databaseAttributes } from "../../src/tracing/statement-spans.ts";
import { embedded, postgresql } from "../support/backends.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { startService, type TestService } from "../support/service.ts";

const graph = "nexgate.privacy.v1.GraphService";
const access = "nexgate.privacy.v1.AccessService";

const { version } = JSON.parse(readFileSync("package.json", "utf8"));
const always = { sampler: "parentbased_always_on", ratio: 1 } as const;
const alice = randomUUID();
const bob = randomUUID();
const block = `/api/v1/e-social/privacy-control/block/${bob}`;
const check = {
  viewer: { case: "viewerId", value: alice },
  ownerId: bob,
  interaction: Interaction.FOLLOW,
} as const;

/** What a collector got of a service that was used and stopped. */
interface Received extends Pick<OtlpReceiver, "spans" | "requests" | "resource"> {
  named(name: string): ReceivedSpan[];
  /** The spans of a trace that have this parent. */
  childrenOf(parent: { traceId: string; spanId: string } | undefined): ReceivedSpan[];
}

/** Uses a service that makes traces, and stops it, which sends every span that is left. */
async function received(
  use: (service: TestService) => Promise<void>,
  tracing: Partial<TracingConfig> = {},
  databaseUrl?: string,
): Promise<Received> {
  const collector = await startOtlpReceiver();
  const url = `${collector.url}/v1/traces`;
  // By the tables: the statements of the graph belong to no call.
  const config = { graphMemoryBytes: 0, tracing: { url, ...always, ...tracing } };
  const service = await startService(databaseUrl, config);
  try {
    const users = [alice, bob].map((id) => ({ id, userName: `u-${id}`, firstName: "F", lastName: "L" }));
    await service.graph.upsertUsers({ users }, await service.acting());
    await use(service);
  } finally {
    await service.stop(1_000);
    await collector.close();
  }
  const { spans } = collector;
  return {
    ...collector,
    named: (name) => spans.filter((span) => span.name === name),
    childrenOf: (parent) =>
      spans.filter(({ parentId, traceId }) => parentId === parent?.spanId && traceId === parent.traceId),
  };
}

/** A span of a caller, and the header that names it. */
function newParent(flags = "01") {
  const [traceId, spanId] = [randomBytes(16).toString("hex"), randomBytes(8).toString("hex")];
  return { traceId, spanId, header: { traceparent: `00-${traceId}-${spanId}-${flags}` } };
}

async function asService(service: TestService, headers: Record<string, string>) {
  return { headers: { ...(await service.acting()).headers, ...headers } };
}

describe("the traces", function () {
  this.timeout(60_000);

  for (const { backend, databaseUrl } of [embedded, postgresql]) {
    it(`connect callers over REST, gRPC and Connect with the statements of ${backend}`, async function () {
      const url = await databaseUrl(this);
      const [rest, grpc, connect] = [newParent(), newParent(), newParent()];
      let publicUrl = "";
      let internalUrl = "";
      const { named, childrenOf, resource, requests } = await received(
        async (service) => {
          ({ publicUrl, internalUrl } = service);
          const baseUrl = service.internalUrl;
          await service.rest("POST", block, { as: alice, headers: rest.header });
          await createClient(GraphService, createGrpcTransport({ baseUrl })).getUser(
            { userId: alice },
            await asService(service, grpc.header),
          );
          await createClient(GraphService, createConnectTransport({ baseUrl, httpVersion: "1.1" })).getUser(
            { userId: alice },
            await asService(service, connect.header),
          );
        },
        {},
        url,
      );

      const [blocked, ...others] = named("POST /api/v1/e-social/privacy-control/block/{user_id}");
      expect(others).to.eql([]);
      expect([blocked?.traceId, blocked?.parentId, blocked?.kind]).to.eql([rest.traceId, rest.spanId, 2]);
      const { hostname, port } = new URL(publicUrl);
      expect(blocked?.attributes).to.eql({
        "http.request.method": "POST",
        "http.route": "/api/v1/e-social/privacy-control/block/{user_id}",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/api/v1/e-social/privacy-control/block/REDACTED",
        "network.protocol.version": "1.1",
        "server.address": hostname,
        "server.port": Number(port),
      });
      const statements = childrenOf(blocked);
      expect(statements.map(({ name }) => name)).to.eql([
        "begin",
        // The cause of the change, and the lock timeout.
        "set",
        "set",
        "select",
        "insert users privacy_settings blocks follows",
        "commit",
      ]);
      expect(new Set(statements.map(({ kind }) => kind))).to.eql(new Set([3]));
      const database = databaseAttributes(url);
      expect(statements[0]?.attributes).to.eql({
        ...database,
        "db.operation.name": "begin",
        "db.query.summary": "begin",
      });

      for (const [system, parent, code] of [
        ["grpc", grpc, "OK"],
        ["connectrpc", connect, "ok"],
      ] as const) {
        const [span, ...more] = childrenOf(parent);
        expect([span?.name, span?.kind, span?.status, more]).to.eql([`${graph}/GetUser`, 2, 0, []]);
        const internal = new URL(internalUrl);
        expect(span?.attributes).to.eql({
          "rpc.method": `${graph}/GetUser`,
          "rpc.system.name": system,
          "rpc.status_code": code,
          "server.address": internal.hostname,
          "server.port": Number(internal.port),
        });
        const [read, ...rest] = childrenOf(span);
        expect([read?.name, rest]).to.eql(["select users", []]);
        expect(read?.attributes).to.eql({
          ...database,
          "db.operation.name": "select",
          "db.query.summary": "select users",
          "db.collection.name": "users",
        });
      }
      expect(resource).to.include({ "service.name": "privacy-control", "service.version": version });
      expect(new Set(requests.map(({ path }) => path))).to.eql(new Set(["/v1/traces"]));
    });
  }

  describe("of many calls", () => {
    const parents = Array.from({ length: 60 }, () => newParent());
    let token: string;
    let collected: Received;
    before(async () => {
      collected = await received(async (service) => {
        const client = createClient(AccessService, createGrpcTransport({ baseUrl: service.internalUrl }));
        const options = await Promise.all(parents.map(({ header }) => asService(service, header)));
        await Promise.all(options.map((one) => client.checkAccess(check, one)));
        const read = (headers: Record<string, string>) =>
          service.rest("GET", "/users/me/privacy", { as: alice, headers });
        await read({});
        await read({ traceparent: "00-nonsense" });
        await read({ traceparent: `00-${"0".repeat(32)}-${"0".repeat(16)}-01` });
        await read(newParent("00").header);
        await service.rest("PATCH", "/users/me/privacy", { body: {} });
        await service.graph.getUser({ userId: randomUUID() }, await service.acting()).catch(() => {});
        token = await service.userToken(alice);
        await service.rest("POST", `${block}?x=${bob}`, { token });
        await service.rest("POST", block, { token });
      });
    });

    it("tie every check to its statement, by the parent or by a link", () => {
      const calls = collected.named(`${access}/CheckAccess`);
      expect(calls.map(({ parentId }) => parentId)).to.have.members(parents.map(({ spanId }) => spanId));
      const statements = calls.flatMap((call) => collected.childrenOf(call));
      const tied = statements.flatMap(({ parentId, links }) => [parentId, ...links]);
      expect(tied).to.have.members(calls.map(({ spanId }) => spanId));
    });

    it("start anew when traceparent is missing or malformed, and keep the caller's sampling decision", () => {
      const spans = collected.named("GET /users/me/privacy");
      expect(spans.map(({ parentId }) => parentId)).to.eql(["", "", ""]);
      expect(new Set(spans.map(({ traceId }) => traceId)).size).to.equal(3);
    });

    it("do not take the mistakes of callers for faults", () => {
      const [refused] = collected.named("PATCH /users/me/privacy");
      expect([refused?.status, refused?.attributes["http.response.status_code"]]).to.eql([0, 401]);
      const [missing] = collected.named(`${graph}/GetUser`);
      expect([missing?.status, missing?.attributes["rpc.status_code"]]).to.eql([0, "NOT_FOUND"]);
    });

    it("name no user and no token", () => {
      const sent = Buffer.concat(collected.requests.map(({ bytes }) => bytes)).toString("latin1");
      expect(sent).to.contain("block/REDACTED");
      for (const secret of [alice, bob, token, `u-${alice}`]) expect(sent).not.to.contain(secret);
    });
  });

  it("omit calls that are not sampled", async () => {
    const { spans } = await received(
      async (service) => {
        await service.rest("GET", "/users/me/privacy", { as: alice, headers: newParent().header });
      },
      { sampler: "always_off" },
    );
    expect(spans).to.eql([]);
  });

  it("fail no call and no shutdown when the collector is unreachable", async () => {
    let from = 0;
    const { requests } = await received(
      async (service) => {
        expect((await service.rest("GET", "/users/me/privacy", { as: alice })).status).to.equal(200);
        from = performance.now();
      },
      { url: "http://127.0.0.1:9/v1/traces" },
    );
    expect(requests).to.eql([]);
    // Given up after 2 s, where the exporter itself would try for 10.
    expect(performance.now() - from).to.be.below(9_500);
  });
});
