import { expect } from "chai";
import { Metrics } from "../../../src/metrics/metrics.ts";

const linesOf = async (metrics: Metrics) =>
  (await metrics.render()).body
    .split("\n")
    .filter(
      (line) =>
        line.startsWith("privacy_control_") && !/_calls_in_flight|_batch_pairs|_tokens_unmet/.test(line),
    );

describe("the metrics that are read at each scrape", () => {
  it("show whether the service is ready now", async () => {
    const metrics = new Metrics();
    let ready = true;
    metrics.showReadiness(() => ready);
    expect(await linesOf(metrics)).to.eql(["privacy_control_ready 1"]);
    ready = false;
    expect(await linesOf(metrics)).to.eql(["privacy_control_ready 0"]);
  });

  it("show the connections of each listener", async () => {
    const metrics = new Metrics();
    let open = 3;
    const evictedConnections = () => ({ idle: 6, memory: 7 });
    const listener = { connections: () => open, refusedConnections: () => 5, evictedConnections };
    metrics.showListeners({ public: listener });
    await metrics.render();
    open = 2;
    expect(await linesOf(metrics)).to.eql([
      'privacy_control_connections{listener="public"} 2',
      'privacy_control_refused_connections_total{listener="public"} 5',
      'privacy_control_evicted_connections_total{listener="public",reason="idle"} 6',
      'privacy_control_evicted_connections_total{listener="public",reason="memory"} 7',
    ]);
  });

  it("show how the change log is followed", async () => {
    const metrics = new Metrics();
    metrics.showChanges({ watchers: 3, lagSeconds: 0.5, ageSeconds: 1.5 });
    expect(await linesOf(metrics)).to.eql([
      "privacy_control_change_watchers 3",
      "privacy_control_change_watcher_lag_seconds 0.5",
      "privacy_control_change_feed_age_seconds 1.5",
    ]);
  });

  it("show the state of the change log, and of its upkeep", async () => {
    const metrics = new Metrics();
    const state = {
      tickAgeSeconds: 1,
      oldestChangeSeconds: 2,
      retentionSeconds: 3,
      openTransactionSeconds: 4,
      erasures: 5,
    };
    metrics.showChangeLog(() => state);
    metrics.showUpkeep(() => [["retention", 6]]);
    expect(await linesOf(metrics)).to.eql([
      "privacy_control_change_tick_age_seconds 1",
      "privacy_control_change_oldest_seconds 2",
      "privacy_control_change_retention_seconds 3",
      "privacy_control_change_open_transaction_seconds 4",
      "privacy_control_change_erasures_waiting 5",
      'privacy_control_upkeep_age_seconds{task="retention"} 6',
    ]);
  });

  it("show the relationship graph", async () => {
    const metrics = new Metrics();
    const graph = {
      mode: "loading",
      keepsFollows: true,
      ageMs: Number.POSITIVE_INFINITY,
      size: { users: 1, edges: 2, bytes: 3 },
      counts: { statements: 4, changes: 5, loads: 6, differences: 0 },
    };
    metrics.showGraph(graph, { modes: ["loading", "ready"], maxBytes: 7 });
    await metrics.render();
    expect(await linesOf(metrics)).to.eql([
      'privacy_control_graph_mode{mode="loading"} 1',
      'privacy_control_graph_mode{mode="ready"} 0',
      "privacy_control_graph_follows 1",
      "privacy_control_graph_users 1",
      "privacy_control_graph_edges 2",
      "privacy_control_graph_bytes 3",
      "privacy_control_graph_max_bytes 7",
      "privacy_control_graph_age_seconds +Inf",
      "privacy_control_graph_statements_total 4",
      "privacy_control_graph_changes_total 5",
      "privacy_control_graph_loads_total 6",
      "privacy_control_graph_differences_total 0",
    ]);
    Object.assign(graph, { mode: "ready", keepsFollows: false, ageMs: 250 });
    expect(await linesOf(metrics)).to.include.members([
      'privacy_control_graph_mode{mode="loading"} 0',
      'privacy_control_graph_mode{mode="ready"} 1',
      "privacy_control_graph_follows 0",
      "privacy_control_graph_age_seconds 0.25",
    ]);
  });

  it("show the use of each pool", async () => {
    const metrics = new Metrics();
    metrics.showPools(() => [{ name: "changes", max: 16, open: 9, idle: 2, waiting: 1 }]);
    metrics.waitedForConnection("changes", 0.002);
    expect(await linesOf(metrics)).to.include.members([
      'privacy_control_database_connections_max{pool="changes"} 16',
      'privacy_control_database_connections_open{pool="changes"} 9',
      'privacy_control_database_connections_used{pool="changes"} 7',
      'privacy_control_database_waiting{pool="changes"} 1',
      'privacy_control_database_wait_seconds_bucket{le="0.001",pool="changes"} 0',
      'privacy_control_database_wait_seconds_bucket{le="0.005",pool="changes"} 1',
    ]);
  });
});

describe("the metrics of calls", () => {
  const method = { parent: { typeName: "a.Service" }, name: "Get" };
  const labels = 'method="a.Service/Get",protocol="grpc_web"';

  it("count each call once, by its code, and put its duration into every bucket that it does not exceed", async () => {
    const metrics = new Metrics();
    for (const seconds of [0.005, 0.0051, 40]) {
      metrics.calls.began();
      metrics.calls.ended(method, "grpc-web", "ok", seconds);
    }
    expect(await linesOf(metrics)).to.include.members([
      `privacy_control_calls_total{${labels},code="ok"} 3`,
      `privacy_control_call_duration_seconds_bucket{le="0.0025",${labels}} 0`,
      `privacy_control_call_duration_seconds_bucket{le="0.005",${labels}} 1`,
      `privacy_control_call_duration_seconds_bucket{le="0.01",${labels}} 2`,
      `privacy_control_call_duration_seconds_bucket{le="+Inf",${labels}} 3`,
      `privacy_control_call_duration_seconds_count{${labels}} 3`,
    ]);
  });

  it("count rejections for a limit by their reason, whether the call started or not", async () => {
    const metrics = new Metrics();
    metrics.calls.overloaded(method, "grpc-web");
    for (const reason of ["RATE_LIMITED", "OVERLOADED", "INTERNAL"]) {
      metrics.calls.began();
      metrics.calls.ended(method, "grpc-web", "resource_exhausted", 0, reason);
    }
    const lines = await linesOf(metrics);
    expect(lines.filter((line) => line.includes("_refusals_total"))).to.have.members([
      'privacy_control_refusals_total{method="a.Service/Get",reason="overloaded"} 2',
      'privacy_control_refusals_total{method="a.Service/Get",reason="rate_limited"} 1',
    ]);
    expect(lines).to.include(`privacy_control_calls_total{${labels},code="resource_exhausted"} 4`);
  });
});
