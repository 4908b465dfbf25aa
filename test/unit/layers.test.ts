import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect } from "chai";

/** What the files of each layer may import besides their own layer; the composition roots at the top see everything. */
const layers: Record<string, readonly string[]> = {
  "src/config": [],
  "src/domain": [],
  "src/graph": ["src/domain"],
  "src/client": ["src/domain", "src/graph", "gen"],
  "src/collections": [],
  "src/store": ["src/config", "src/domain", "src/collections"],
  "src/overload": ["src/domain"],
  "src/call": ["src/config", "src/domain", "src/collections", "src/overload", "gen"],
  "src/grpc": ["src/call", "src/overload", "gen"],
  "src/http": ["src/config", "src/collections", "src/call", "src/grpc", "src/overload", "gen"],
  "src/rest": ["src/domain", "src/call", "src/http", "src/overload", "gen"],
  "src/metrics": ["src/call", "src/http", "src/store"],
  "src/tracing": ["src/config", "src/call", "src/store"],
  "src/service": ["src/domain", "src/graph", "src/store", "src/call", "gen"],
  "src/commands": ["src/domain", "gen"],
  "src/importer": ["src/domain", "src/commands", "gen"],
  "src/development": ["src/config", "src/domain", "src/store"],
};
const roots = [
  "src/app.ts",
  "src/command.ts",
  "src/export.ts",
  "src/import.ts",
  "src/internal-port.ts",
  "src/log.ts",
  "src/main.ts",
  "src/migrate.ts",
  "src/serve.ts",
  "src/stop-on-signal.ts",
  "src/token.ts",
  "src/watch.ts",
  "src/explain.ts",
];

const isRoot = (file: string) => roots.includes(file) || file.startsWith("src/composition/");

const importPattern = /(?:from|import)\s*\(?\s*"(\.[^"]+)"/g;

/** The imports of a source text that its layer does not allow. */
function forbidden(file: string, source: string): string[] {
  const layer = Object.keys(layers).find((name) => file.startsWith(`${name}/`));
  const allowed = layer === undefined ? [] : [layer, ...(layers[layer] ?? [])];
  return [...source.matchAll(importPattern)]
    .map(([, path]) => normalize(join(dirname(file), path ?? "")))
    .filter((target) => !allowed.some((name) => target === name || target.startsWith(`${name}/`)))
    .map((target) => `${file} imports ${target}`);
}

describe("the layers of src", () => {
  const files = globSync("src/**/*.ts");

  it("contain every file", () => {
    const unassigned = files.filter(
      (file) => !isRoot(file) && !Object.keys(layers).some((name) => file.startsWith(`${name}/`)),
    );
    expect(unassigned).to.eql([]);
  });

  it("are imported downwards only", () => {
    const found = files
      .filter((file) => !isRoot(file))
      .flatMap((file) => forbidden(file, readFileSync(file, "utf8")));
    expect(found).to.eql([]);
  });

  it("are checked: an upward import is found", () => {
    expect(forbidden("src/domain/a.ts", 'import { b } from "../store/b.ts";')).to.have.length(1);
    expect(forbidden("src/rest/a.ts", 'const b = await import("../store/b.ts");')).to.have.length(1);
    expect(forbidden("src/rest/a.ts", 'import type { b } from "../service/b.ts";')).to.have.length(1);
    expect(forbidden("src/http/a.ts", 'import { b } from "../rest/b.ts";')).to.have.length(1);
    expect(forbidden("src/service/a.ts", 'import { b } from "../store/b.ts";')).to.eql([]);
  });

  it("are those that ARCHITECTURE.md shows", () => {
    const rows = [
      ...readFileSync("ARCHITECTURE.md", "utf8").matchAll(/^\| `(src\/\w+)` \| [^|]+ \| ([^|]+) \|$/gm),
    ];
    const shown = rows.map(([, layer, allowed = ""]) => [layer, allowed.split(", ").sort()]);
    const names = (paths: readonly string[]) =>
      paths.map((path) => path.replace("src/", "")).filter((name) => name !== "config.ts");
    const real = Object.entries(layers).map(([layer, allowed]) => [
      layer,
      allowed.length === 0 ? ["nothing"] : names(allowed).sort(),
    ]);
    expect(shown).to.have.deep.members(real);
  });

  it("read environment variables in config.ts and the commands only", () => {
    const readers = files.filter((file) => readFileSync(file, "utf8").includes("process.env"));
    expect(readers.filter((file) => !isRoot(file))).to.eql([]);
  });
});
