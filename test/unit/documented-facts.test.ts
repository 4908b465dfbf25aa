import { readFileSync } from "node:fs";
import { expect } from "chai";
import { parse } from "yaml";
import { effectiveVariables, variableNames } from "../../src/config/config.ts";
import { decisionTable } from "../../src/domain/access.ts";

const configuration = readFileSync("docs/configuration.md", "utf8");
const api = readFileSync("docs/api.md", "utf8");

describe("README.md", () => {
  it("is short enough to be read", () => {
    expect(readFileSync("README.md", "utf8").trimEnd().split("\n")).to.have.length.at.most(120);
  });
});

describe("docs/configuration.md", () => {
  const rows = [...configuration.matchAll(/^\| `([A-Z][A-Z_]+)` \| ([^|]*)\|/gm)].map(([, name, cell]) => ({
    name: name ?? "",
    value: /^`([^`]*)`/.exec(cell ?? "")?.[1] ?? null,
  }));

  it("lists exactly the environment variables that the configuration reads", () => {
    expect(rows.map(({ name }) => name)).to.have.members([...variableNames]);
  });

  it("shows the default of every variable that has the same one everywhere", () => {
    const ofMachine = ["GRAPH_MEMORY_MB"];
    const defaults = Object.entries(effectiveVariables({})).map(([name, value]) => ({
      name,
      value: value === "" || ofMachine.includes(name) ? null : value,
    }));
    expect(rows).to.have.deep.members(defaults);
    for (const name of ofMachine) expect(configuration).to.match(new RegExp(`^\\| \`${name}\` \\| \\w`, "m"));
  });
});

describe("docs/operations.md", () => {
  it("has an entry of the runbook for every alert, in their order", () => {
    const { groups } = parse(readFileSync("deploy/prometheus/alerts.yaml", "utf8"));
    const alerts = groups.flatMap(({ rules }: { rules: { alert: string }[] }) =>
      rules.map(({ alert }) => alert),
    );
    const runbook = readFileSync("docs/operations.md", "utf8").split("\n## Runbook\n")[1] ?? "";
    const entries = [...runbook.matchAll(/^\| `(\w+)` \| [^|]{20,} \| [^|]{20,} \|$/gm)];
    expect(entries.map(([, alert]) => alert)).to.eql(alerts);
  });
});

describe("docs/api.md", () => {
  it("shows the scope of every method of the internal services", () => {
    for (const service of ["graph", "access"]) {
      const proto = readFileSync(`proto/nexgate/privacy/v1/${service}_service.proto`, "utf8");
      for (const [, method, scope] of proto.matchAll(
        /rpc (\w+)\([^{]*\{[^}]*option \(nexgate\.auth\.v1\.scope\) = "([\w.]+)"/g,
      )) {
        expect(api).to.match(new RegExp(`\\| \`${scope}\` \\|.*\`${method}\``));
      }
    }
  });

  it("prints the decision table, every row and no other", () => {
    const section = api.split(/^## /m).find((text) => text.startsWith("Decisions\n")) ?? "";
    const printed = [...section.matchAll(/^\| ([A-Z].*) \|$/gm)].map(([, row]) => row?.split(" | "));
    const rows = Object.entries(decisionTable).map(([interaction, { block, mute, audience, signedOut }]) => [
      interaction,
      block,
      mute,
      audience === null ? "-" : `\`${audience}\`: DENY`,
      signedOut,
    ]);
    expect(printed).to.eql(rows);
  });
});
