import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { expect } from "chai";
import { AccessService, Interaction } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { postgresUrl } from "../support/cluster.ts";
import { untilGraphReady } from "../support/graph.ts";
import { talk } from "../support/raw-http.ts";
import { type Scraped, scrape } from "../support/scrape.ts";
import { noInFlightLimits, noRates, startService, type TestService } from "../support/service.ts";

const graph = "nexgate.privacy.v1.GraphService";
const control = "nexgate.privacy.v1.PrivacyControlService";

/** The calls that were counted between two scrapes. */
function callsBetween(earlier: Scraped, later: Scraped): Record<string, number> {
  const calls = "privacy_control_calls_total";
  return Object.fromEntries(
    later.series
      .filter(({ name }) => name === calls)
      .map(({ labels, value }): [string, number] => [
        `${labels.protocol} ${labels.method} ${labels.code}`,
        value - (earlier.value(calls, labels) ?? 0),
      ])
      .filter(([, value]) => value > 0),
  );
}

describe("the metrics", function () {
  this.timeout(60_000);
  let service: TestService;
  let earlier: Scraped;
  const alice = randomUUID();
  before(async () => {
    service = await startService();
    const users = [{ id: alice, userName: "alice", firstName: "F", lastName: "L" }];
    await service.graph.upsertUsers({ users }, await service.acting());
  });
  beforeEach(async () => {
    earlier = await scrape(service.adminUrl);
  });
  after(() => service.stop(0));

  it("count every call by method, protocol and code, and time it", async () => {
    const acting = await service.acting();
    const ask = (transport: Parameters<typeof createClient>[1], userId: string) =>
      createClient(GraphService, transport)
        .getUser({ userId }, acting)
        .catch(() => {});
    const baseUrl = service.internalUrl;
    await service.rest("GET", "/users/me/privacy", { as: alice });
    await service.rest("GET", "/api/v1/users/me/privacy", { as: alice });
    await service.rest("GET", "/users/me/privacy");
    await service.rest("PATCH", "/users/me/privacy", { as: alice, body: "{" });
    await ask(createGrpcTransport({ baseUrl }), alice);
    await ask(createGrpcTransport({ baseUrl }), randomUUID());
    await ask(createConnectTransport({ baseUrl, httpVersion: "1.1" }), alice);
    await ask(createGrpcWebTransport({ baseUrl, httpVersion: "2" }), "nobody");
    const scraped = await scrape(service.adminUrl);
    expect(callsBetween(earlier, scraped)).to.eql({
      [`rest ${control}/GetPrivacySettings ok`]: 2,
      [`rest ${control}/GetPrivacySettings unauthenticated`]: 1,
      [`rest ${control}/UpdatePrivacySetting invalid_argument`]: 1,
      [`grpc ${graph}/GetUser ok`]: 1,
      [`grpc ${graph}/GetUser not_found`]: 1,
      [`connect ${graph}/GetUser ok`]: 1,
      [`grpc_web ${graph}/GetUser invalid_argument`]: 1,
    });
    const durations = "privacy_control_call_duration_seconds";
    const rest = { method: `${control}/GetPrivacySettings`, protocol: "rest" };
    expect(scraped.value(`${durations}_count`, rest)).to.equal(3);
    expect(scraped.value(`${durations}_bucket`, { ...rest, le: "+Inf" })).to.equal(3);
    expect(scraped.value(`${durations}_sum`, rest)).to.be.within(0.0001, 20);
    expect(scraped.value("privacy_control_calls_in_flight")).to.equal(0);
  });

  it("count requests that reach no method under one name", async () => {
    const { port } = new URL(service.publicUrl);
    const post = (url: string, contentType: string) =>
      fetch(url, { method: "POST", headers: { "content-type": contentType }, body: "" });
    await service.rest("GET", `/nowhere/${alice}`);
    await service.rest("PUT", "/users/me/privacy");
    await talk(Number(port), "nonsense\r\n\r\n");
    await talk(Number(port), "GET /users/me/privacy HTTP/1.1\r\nConnection: close\r\n\r\n");
    await post(`${service.publicUrl}/${graph}/GetUser`, "application/grpc+proto");
    await post(`${service.publicUrl}/${graph}/GetUser`, "application/grpc-web+proto");
    await post(`${service.internalUrl}/nowhere`, "application/json");
    await post(`${service.internalUrl}/${graph}/GetUser`, "text/plain");
    expect(callsBetween(earlier, await scrape(service.adminUrl))).to.eql({
      "http none not_found": 2,
      "http none invalid_argument": 2,
      "http none unimplemented": 2,
      "grpc none unimplemented": 1,
      "grpc_web none unimplemented": 1,
    });
  });

  it("count the pairs of each decision statement", async () => {
    const byTables = await startService(undefined, { graphMemoryBytes: 0 });
    try {
      const access = createClient(AccessService, createGrpcTransport({ baseUrl: byTables.internalUrl }));
      const check = {
        viewer: { case: "signedOut", value: true },
        ownerId: alice,
        interaction: Interaction.VIEW_STATUS,
      } as const;
      const options = await byTables.acting();
      const checks = Array.from({ length: 70 }, () => check);
      await access.batchCheckAccess({ checks: [check] }, options);
      await access.batchCheckAccess({ checks }, options);
      const scraped = await scrape(byTables.adminUrl);
      const pairs = "privacy_control_check_batch_pairs";
      expect([scraped.value(`${pairs}_count`), scraped.value(`${pairs}_sum`)]).to.eql([2, 71]);
      expect(scraped.value(`${pairs}_bucket`, { le: "64" })).to.equal(1);
      expect(scraped.value("privacy_control_checks_waiting")).to.equal(0);
      expect(scraped.types).not.to.include.keys("privacy_control_graph_mode");
    } finally {
      await byTables.stop(0);
    }
  });

  it("count what the relationship graph does, and no statement of the tables while it is ready", async () => {
    await untilGraphReady(service);
    const access = createClient(AccessService, createGrpcTransport({ baseUrl: service.internalUrl }));
    const options = await service.acting();
    const before = await scrape(service.adminUrl);
    const viewer = { case: "viewerId", value: alice } as const;
    await access.checkAccess({ viewer, ownerId: alice, interaction: Interaction.FOLLOW }, options);
    const after = await scrape(service.adminUrl);
    const grown = (name: string) => (after.value(name) ?? 0) - (before.value(name) ?? 0);
    expect(grown("privacy_control_graph_statements_total")).to.be.at.least(1);
    expect(grown("privacy_control_check_batch_pairs_count")).to.equal(0);
    expect(after.value("privacy_control_graph_users")).to.be.at.least(1);
    expect(after.value("privacy_control_graph_bytes")).to.be.within(
      1,
      after.value("privacy_control_graph_max_bytes") ?? 0,
    );
    expect(after.value("privacy_control_graph_loads_total")).to.equal(1);
  });

  it("count rejections by rate and by concurrency, and show the limit of each port", async () => {
    const limited = await startService(undefined, {
      rates: { ...noRates, serviceCallsPerMinute: 2 },
      maxInFlight: { ...noInFlightLimits, publicCalls: 123 },
    });
    try {
      const access = createClient(AccessService, createGrpcTransport({ baseUrl: limited.internalUrl }));
      const options = await limited.acting();
      for (let i = 0; i < 5; i++) await access.checkAccess({}, options).catch(() => {});
      const scraped = await scrape(limited.adminUrl);
      const refused = { method: "nexgate.privacy.v1.AccessService/CheckAccess", reason: "rate_limited" };
      expect(scraped.value("privacy_control_refusals_total", refused)).to.equal(3);
      const limit = "privacy_control_concurrency_limit";
      expect(scraped.value(limit, { listener: "public" })).to.equal(123);
      expect(scraped.value(limit, { listener: "internal" })).to.equal(Number.POSITIVE_INFINITY);
    } finally {
      await limited.stop(0);
    }
  });

  it("name no user, token or address, whatever is called", async () => {
    const token = await service.userToken(alice);
    await service.rest("POST", `/api/v1/e-social/privacy-control/block/${alice}?${alice}`, { token });
    await service.rest("GET", `/${alice}`, { token, headers: { "x-acting-user": alice } });
    const { text, series } = await scrape(service.adminUrl);
    expect(text).not.to.contain(alice).and.not.to.contain(token).and.not.to.contain("127.0.0.1");
    const calls = series.filter(({ name }) => name === "privacy_control_calls_total");
    for (const { labels } of calls) {
      expect(labels.protocol).to.match(/^(?:rest|grpc|connect|grpc_web|http)$/);
      expect(labels.method).to.match(/^(?:none|nexgate\.privacy\.v1\.\w+\/\w+)$/);
      expect(labels.code).to.match(/^[a-z_]+$/);
    }
    const labels = new Set(
      series
        .filter(({ name }) => name.startsWith("privacy_control_"))
        .flatMap(({ labels }) => Object.keys(labels)),
    );
    expect([...labels]).to.have.members([
      "method",
      "protocol",
      "code",
      "le",
      "listener",
      "reason",
      "task",
      "mode",
    ]);
  });

  it("show the process and the connections", async () => {
    expect(earlier.types.get("process_cpu_seconds_total")).to.equal("counter");
    expect(earlier.value("process_cpu_seconds_total")).to.be.above(0);
    expect(earlier.value("process_resident_memory_bytes")).to.be.above(1e6);
    // A scrape begins a new measurement, of which the first delay is there after some milliseconds.
    const delay = async () => (await scrape(service.adminUrl)).value("nodejs_eventloop_lag_p99_seconds");
    while (((await delay()) ?? 0) < 0.001);
    expect(earlier.value("privacy_control_connections", { listener: "internal" })).to.be.above(0);
    expect(earlier.value("privacy_control_refused_connections_total", { listener: "public" })).to.equal(0);
    expect(earlier.value("privacy_control_ready")).to.equal(1);
  });

  it("can be read while the service drains", async () => {
    const draining = await startService();
    const lastRecord = Promise.withResolvers<void>();
    async function* records() {
      yield { importId: randomUUID() };
      await lastRecord.promise;
    }
    const client = createClient(GraphService, createGrpcTransport({ baseUrl: draining.internalUrl }));
    const call = client.importEdges(records(), await draining.acting()).catch(() => {});
    const seen = async (inFlight: number) => {
      for (;;) {
        const scraped = await scrape(draining.adminUrl);
        if (scraped.value("privacy_control_calls_in_flight") === inFlight) return scraped;
      }
    };
    expect((await seen(1)).value("privacy_control_ready")).to.equal(1);
    draining.retire();
    expect((await seen(1)).value("privacy_control_ready")).to.equal(0);
    lastRecord.resolve();
    await Promise.all([call, draining.stop(10_000)]);
  });

  it("show the pools of a PostgreSQL database, and every wait for a connection", async function () {
    const url = await postgresUrl();
    if (url === undefined) return this.skip();
    const onPostgresql = await startService(url);
    try {
      await onPostgresql.rest("GET", "/users/me/privacy", { as: alice });
      const scraped = await scrape(onPostgresql.adminUrl);
      const value = (name: string, pool: string) =>
        scraped.value(`privacy_control_database_${name}`, { pool });
      expect([value("connections_max", "changes"), value("connections_max", "checks")]).to.eql([16, 4]);
      expect(value("connections_open", "changes")).to.be.within(1, 16);
      expect([value("connections_used", "checks"), value("waiting", "changes")]).to.eql([0, 0]);
      expect(value("wait_seconds_count", "changes")).to.be.above(1);
      expect(scraped.text).not.to.contain(new URL(url).pathname.slice(1));
    } finally {
      await onPostgresql.stop(0);
    }
  });
});

describe("the operators' listener", function () {
  this.timeout(60_000);
  let service: TestService;
  before(async () => {
    service = await startService();
  });
  after(() => service.stop(0));
  const ask = (path: string, method = "GET") => fetch(service.adminUrl + path, { method });

  it("answers metrics in Prometheus' text format, and that the process lives", async () => {
    const metrics = await ask("/metrics?from=prometheus");
    expect([metrics.status, metrics.headers.get("content-type")]).to.eql([
      200,
      "text/plain; version=0.0.4; charset=utf-8",
    ]);
    const head = await ask("/metrics", "HEAD");
    expect([head.status, await head.text()]).to.eql([200, ""]);
    const health = await ask("/healthz");
    expect([health.status, await health.json()]).to.eql([200, { status: "ok" }]);
  });

  it("answers whether the service is ready, until it is to stop", async () => {
    const stopping = await startService();
    const ready = await fetch(`${stopping.adminUrl}/readyz`);
    expect([ready.status, ready.headers.get("cache-control"), await ready.json()]).to.eql([
      200,
      "no-store",
      { status: "ready" },
    ]);
    stopping.retire();
    const retired = await fetch(`${stopping.adminUrl}/readyz`);
    expect([retired.status, await retired.json()]).to.eql([503, { status: "unavailable" }]);
    expect((await fetch(`${stopping.adminUrl}/healthz`)).status).to.equal(200);
    await stopping.stop(0);
  });

  it("rejects everything else", async () => {
    const post = await ask("/metrics", "POST");
    expect([post.status, post.headers.get("allow")]).to.eql([405, "GET, HEAD"]);
    for (const path of ["/", "/users/me/privacy", `/${graph}/GetUser`])
      expect((await ask(path)).status, path).to.equal(404);
  });

  it("is the only one that shows them", async () => {
    for (const url of [service.publicUrl, service.internalUrl])
      expect((await fetch(`${url}/metrics`)).status).to.equal(404);
  });

  it("stops the start when its port is in use, and closes everything", async () => {
    const admin = { host: "127.0.0.1", port: Number(new URL(service.adminUrl).port) };
    const dataDir = mkdtempSync(join(tmpdir(), "privacy-control-"));
    const database = { url: undefined, dataDir };
    const failure = await startService(undefined, { admin, database }).catch((reason: unknown) => reason);
    expect(failure).to.include({ code: "EADDRINUSE", port: admin.port });
    await (await startService(undefined, { database })).stop(0);
    rmSync(dataDir, { recursive: true });
  });
});
