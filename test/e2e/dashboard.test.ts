import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "chai";
import { parse } from "yaml";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { AccessService, Interaction } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { ChangeService } from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { postgresUrl } from "../support/cluster.ts";
import { untilGraphReady } from "../support/graph.ts";
import { readPromql } from "../support/promql.ts";
import { type Scraped, scrape } from "../support/scrape.ts";
import { noRates, startService, type TestService } from "../support/service.ts";

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly refId: string; readonly expr: string }[];
}

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}

const dashboard: { panels: Panel[]; templating: { list: { type: string; query: { query: string } }[] } } =
  JSON.parse(readFileSync("deploy/grafana/privacy-control.json", "utf8"));
const alerts: Alert[] = parse(readFileSync("deploy/prometheus/alerts.yaml", "utf8")).groups.flatMap(
  ({ rules }: { rules: Alert[] }) => rules,
);
/** The series on which the alerts are tested. */
const testedSeries: string[] = parse(
  readFileSync("deploy/prometheus/alerts.test.yaml", "utf8"),
).tests.flatMap(({ input_series }: { input_series: { series: string }[] }) =>
  input_series.map(({ series }) => series),
);
const operations = readFileSync("docs/operations.md", "utf8");

/** What Prometheus adds to every series, and the series that it makes itself. */
const added = ["job", "instance"];
const prometheusOwn = "up";
const code = [
  "ok",
  "canceled",
  "unknown",
  "invalid_argument",
  "deadline_exceeded",
  "not_found",
  "already_exists",
  "permission_denied",
  "resource_exhausted",
  "failed_precondition",
  "aborted",
  "out_of_range",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
  "unauthenticated",
];

const method = [
  AccessService,
  ChangeService,
  GraphService,
  PrivacyControlService,
  Health,
  ServerReflection,
].flatMap(({ typeName, methods }) => methods.map(({ name }) => `${typeName}/${name}`));

/** The values of labels that need not all have been counted yet. */
const possible: Record<string, readonly string[]> = {
  code,
  method: [...method, "none"],
  reason: ["overloaded", "rate_limited", "idle", "memory"],
};

/** The patterns of which a pattern is made, each of which must match something: `a|b`, or `x(a|b)`. */
function alternatives(pattern: string): string[] {
  const [, before = "", within] = /^(.*)\((.*)\)$/.exec(pattern) ?? [];
  return (within ?? pattern).split("|").map((one) => before + one);
}

describe("the dashboard and the alerts", function () {
  this.timeout(60_000);
  let scraped: Scraped;
  before(async function () {
    const url = await postgresUrl();
    if (url === undefined) return this.skip();
    const rates = { ...noRates, writesPerMinute: 1 };
    const service = await startService(url, { rates });
    try {
      await untilGraphReady(service);
      await use(service);
      // Node tells of a collection of garbage when it likes.
      do scraped = await scrape(service.adminUrl);
      while (!scraped.series.some(({ name }) => name === "nodejs_gc_duration_seconds_count"));
    } finally {
      await service.stop(0);
    }
  });

  const queries = [
    ...dashboard.panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }): [string, string] => [title, expr.replaceAll("$__rate_interval", "5m")]),
    ),
    ...dashboard.templating.list
      .filter(({ type }) => type === "query")
      .map(({ query }): [string, string] => [
        query.query,
        /^label_values\((.*), \w+\)$/.exec(query.query)?.[1] ?? query.query,
      ]),
    ...alerts.map(({ alert, expr }): [string, string] => [alert, expr]),
  ];

  const seriesOf = (metric: string) => scraped.series.filter(({ name }) => name === metric);

  for (const [where, expression] of queries) {
    it(`name only metrics of a scrape: ${where}`, () => {
      const { selectors, labels } = readPromql(expression);
      expect(selectors).not.to.eql([]);
      const known = new Set(added);
      for (const { metric, matchers } of selectors) {
        if (metric === prometheusOwn) continue;
        const series = seriesOf(metric);
        expect(series, metric).not.to.eql([]);
        for (const name of series.flatMap((one) => Object.keys(one.labels))) known.add(name);
        for (const { label, value } of matchers) {
          if (added.includes(label)) continue;
          const values = possible[label] ?? series.map((one) => one.labels[label]);
          for (const pattern of alternatives(value))
            expect(
              values.some((one) => new RegExp(`^(?:${pattern})$`).test(one ?? "")),
              `${label} ${pattern}`,
            ).to.equal(true);
        }
      }
      expect([...known]).to.include.members([...labels]);
    });
  }

  it("are tested on series as a scrape has them", () => {
    for (const { metric, matchers } of new Set(testedSeries)
      .values()
      .flatMap((one) => readPromql(one).selectors)) {
      const labels = matchers.map(({ label }) => label).filter((label) => !added.includes(label));
      if (metric !== prometheusOwn)
        expect(
          seriesOf(metric).map((one) => Object.keys(one.labels).sort()),
          metric,
        ).to.deep.include(labels.sort());
      for (const { label, value } of matchers)
        if (label in possible) expect(possible[label], label).to.include(value);
    }
  });

  it("show the metrics that docs/operations.md lists, which are those that a scrape has", () => {
    const rows = [...operations.matchAll(/^\| `(privacy_control_\w+)` \| (\w+) \|([^|]*)\|/gm)];
    const listed = rows.map(([, name = "", type = "", labels = ""]) => [
      name,
      type,
      [...labels.matchAll(/`(\w+)`/g)].map(([, label = ""]) => label).sort(),
    ]);
    const own = [...scraped.types].filter(([name]) => name.startsWith("privacy_control_"));
    const actual = own.map(([name, type]) => {
      const [first] = scraped.series.filter((one) => one.name === name || one.name === `${name}_count`);
      return [name, type, Object.keys(first?.labels ?? {}).sort()];
    });
    expect(listed).to.have.deep.members(actual);
    const shown = new Set(
      queries.flatMap(([, query]) => readPromql(query).selectors.map(({ metric }) => metric)),
    );
    for (const [name] of own)
      expect(
        [...shown].some((metric) => metric.replace(/_(?:bucket|sum|count)$/, "") === name),
        name,
      ).to.equal(true);
  });

  it("have panels that do not overlap, and alerts with a description", () => {
    const { panels } = dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).to.equal(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)} ${y + Math.floor(i / w)}`),
    );
    expect(new Set(cells).size).to.equal(cells.length);
    expect(new Set(alerts.map(({ alert }) => alert)).size).to.equal(alerts.length);
    for (const { alert, labels, annotations } of alerts) {
      expect(labels.severity, alert).to.be.oneOf(["critical", "warning"]);
      expect(annotations.summary, alert).to.be.a("string");
      expect(annotations.description, alert).to.be.a("string");
    }
  });
});

/** Uses a service so that everything that can be counted was. */
async function use(service: TestService): Promise<void> {
  const [alice, bob] = [randomUUID(), randomUUID()];
  const users = [alice, bob].map((id) => ({ id, userName: "name", firstName: "F", lastName: "L" }));
  await service.graph.upsertUsers({ users }, await service.acting());
  await service.rest("GET", "/users/me/privacy", { as: alice });
  await service.rest("GET", "/nowhere");
  const change = { as: alice, body: { setting: "groups", value: "none" } };
  while ((await service.rest("PATCH", "/users/me/privacy", change)).status !== 429);
  await createClient(AccessService, createGrpcTransport({ baseUrl: service.internalUrl })).checkAccess(
    { viewer: { case: "viewerId", value: alice }, ownerId: bob, interaction: Interaction.FOLLOW },
    await service.acting(),
  );
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
}
