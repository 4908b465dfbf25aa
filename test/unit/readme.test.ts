import { readFileSync } from "node:fs";
import { expect } from "chai";

const readme = readFileSync("README.md", "utf8");
const matches = (text: string, pattern: RegExp) =>
  [...text.matchAll(pattern)].map(([, found]) => found ?? "");

describe("the README", () => {
  it("lists exactly the environment variables that the configuration reads", () => {
    const read = matches(readFileSync("src/config.ts", "utf8"), /^ {2}([A-Z][A-Z_]+): /gm);
    expect(matches(readme, /^\| `([A-Z][A-Z_]+)` \|/gm)).to.have.members(read);
  });

  it("names only scripts that exist", () => {
    const { scripts } = JSON.parse(readFileSync("package.json", "utf8"));
    for (const script of matches(readme, /npm run (?:-s )?([a-z:]+)/g))
      expect(scripts).to.have.property(script);
  });

  it("shows the scope of every method of the graph service", () => {
    const proto = readFileSync("proto/nexgate/privacy/v1/graph_service.proto", "utf8");
    for (const [, method, scope] of proto.matchAll(
      /rpc (\w+)\([^{]*\{\s*option \(nexgate\.auth\.v1\.scope\) = "([\w.]+)"/g,
    )) {
      expect(readme).to.match(new RegExp(`\\| \`${scope}\` \\|.*\`${method}\``));
    }
  });
});
