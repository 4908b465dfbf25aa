import { expect } from "chai";
import { Registry } from "../../../src/metrics/library.ts";
import { PoolMetrics } from "../../../src/metrics/pool-metrics.ts";
import { watchListeners, watchReadiness } from "../../../src/metrics/service-metrics.ts";

const newRegistry = () => new Registry() as Registry;
const linesOf = async (registry: Registry) =>
  (await registry.metrics()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));

describe("what is read at each scrape", () => {
  it("is whether the service is ready now", async () => {
    const registry = newRegistry();
    let ready = true;
    watchReadiness(registry, () => ready);
    expect(await linesOf(registry)).to.eql(["privacy_control_ready 1"]);
    ready = false;
    expect(await linesOf(registry)).to.eql(["privacy_control_ready 0"]);
  });

  it("is each listener's connections", async () => {
    const registry = newRegistry();
    let open = 3;
    const evictedConnections = () => ({ idle: 6, memory: 7 });
    const port = { connections: () => open, refusedConnections: () => 5, evictedConnections };
    watchListeners(registry, { public: port });
    await registry.metrics();
    open = 2;
    expect(await linesOf(registry)).to.eql([
      'privacy_control_connections{listener="public"} 2',
      'privacy_control_refused_connections_total{listener="public"} 5',
      'privacy_control_evicted_connections_total{listener="public",reason="idle"} 6',
      'privacy_control_evicted_connections_total{listener="public",reason="memory"} 7',
    ]);
  });

  it("is the use of each pool", async () => {
    const registry = newRegistry();
    const pools = new PoolMetrics(registry);
    pools.watch(() => [{ name: "changes", max: 16, open: 9, idle: 2, waiting: 1 }]);
    pools.waited("changes", 0.002);
    const lines = await linesOf(registry);
    expect(lines).to.include.members([
      'privacy_control_database_connections_max{pool="changes"} 16',
      'privacy_control_database_connections_open{pool="changes"} 9',
      'privacy_control_database_connections_used{pool="changes"} 7',
      'privacy_control_database_waiting{pool="changes"} 1',
      'privacy_control_database_wait_seconds_bucket{pool="changes",le="0.001"} 0',
      'privacy_control_database_wait_seconds_bucket{pool="changes",le="0.005"} 1',
    ]);
  });
});
