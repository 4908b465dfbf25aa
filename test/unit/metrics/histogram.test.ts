import { expect } from "chai";
import { Histogram } from "../../../src/metrics/histogram.ts";
import { Registry } from "../../../src/metrics/library.ts";

const buckets = [0.5, 1, 2];

function start() {
  const registry = new Registry() as Registry;
  const histogram = new Histogram<"method">({ name: "h_seconds", help: "Help.", buckets, registry });
  return { registry, child: histogram.child({ method: "M" }) };
}

const lines = async (registry: Registry) => (await registry.metrics()).trim().split("\n");

describe("a histogram", () => {
  it("counts each value in every bucket that it does not exceed", async () => {
    const { registry, child } = start();
    for (const value of [0, 0.5, 0.75, 2, 3]) child.observe(value);
    expect(await lines(registry)).to.eql([
      "# HELP h_seconds Help.",
      "# TYPE h_seconds histogram",
      'h_seconds_bucket{method="M",le="0.5"} 2',
      'h_seconds_bucket{method="M",le="1"} 3',
      'h_seconds_bucket{method="M",le="2"} 4',
      'h_seconds_bucket{method="M",le="+Inf"} 5',
      'h_seconds_sum{method="M"} 6.25',
      'h_seconds_count{method="M"} 5',
    ]);
  });

  it("is added up by the library over the processes of a service", async () => {
    const processes = [start(), start()];
    for (const { child } of processes) child.observe(0.75);
    const json = await Promise.all(processes.map(({ registry }) => registry.getMetricsAsJSON()));
    const sum = Registry.aggregate(JSON.parse(JSON.stringify(json))) as Registry;
    expect(await lines(sum)).to.include.members([
      'h_seconds_bucket{method="M",le="0.5"} 0',
      'h_seconds_bucket{method="M",le="+Inf"} 2',
      'h_seconds_sum{method="M"} 1.5',
      'h_seconds_count{method="M"} 2',
    ]);
  });
});
