import { readFileSync } from "node:fs";
import { expect } from "chai";
import { effectiveVariables, variableNames } from "../../src/config/config.ts";
import { decisionTable } from "../../src/domain/access.ts";

const configuration = readFileSync("docs/configuration.md", "utf8");
const api = readFileSync("docs/api.md", "utf8");

describe("docs/configuration.md", () => {
  const rows = [...configuration.matchAll(/^\| `([A-Z][A-Z_]+)` \| ([^|]*)\|/gm)].map(([, name, cell]) => ({
    name: name ?? "",
    value: /^`([^`]*)`/.exec(cell ?? "")?.[1] ?? null,
  }));

  it("lists exactly the environment variables that the configuration reads", () => {
    expect(rows.map(({ name }) => name)).to.have.members([...variableNames]);
  });

  it("shows the default of every variable", () => {
    const defaults = Object.entries(effectiveVariables({})).map(([name, value]) => ({
      name,
      value: value === "" ? null : value,
    }));
    expect(rows).to.have.deep.members(defaults);
  });
});

describe("docs/api.md", () => {
  it("shows the scope of every method of the internal services", () => {
    for (const service of ["graph", "access"]) {
      const proto = readFileSync(`proto/nexgate/privacy/v1/${service}_service.proto`, "utf8");
      for (const [, method, scope] of proto.matchAll(
        /rpc (\w+)\([^{]*\{\s*option \(nexgate\.auth\.v1\.scope\) = "([\w.]+)"/g,
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
