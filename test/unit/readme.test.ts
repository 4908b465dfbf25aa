import { readFileSync } from "node:fs";
import { expect } from "chai";
import { variableNames } from "../../src/config.ts";
import { decisionTable } from "../../src/domain/access.ts";

const readme = readFileSync("README.md", "utf8");
const matches = (text: string, pattern: RegExp) =>
  [...text.matchAll(pattern)].map(([, found]) => found ?? "");

describe("the README", () => {
  it("lists exactly the environment variables that the configuration reads", () => {
    expect(matches(readme, /^\| `([A-Z][A-Z_]+)` \|/gm)).to.have.members([...variableNames]);
  });

  it("shows the scope of every method of the internal services", () => {
    for (const service of ["graph", "access"]) {
      const proto = readFileSync(`proto/nexgate/privacy/v1/${service}_service.proto`, "utf8");
      for (const [, method, scope] of proto.matchAll(
        /rpc (\w+)\([^{]*\{\s*option \(nexgate\.auth\.v1\.scope\) = "([\w.]+)"/g,
      )) {
        expect(readme).to.match(new RegExp(`\\| \`${scope}\` \\|.*\`${method}\``));
      }
    }
  });

  it("prints the decision table, every row and no other", () => {
    const section = readme.split(/^## /m).find((text) => text.startsWith("Decide\n")) ?? "";
    const printed = matches(section, /^\| ([A-Z].*) \|$/gm).map((row) => row.split(" | "));
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
