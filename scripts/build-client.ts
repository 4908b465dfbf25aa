import { execFileSync } from "node:child_process";
import { cpSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { readCommandLine } from "../src/command.ts";

const usage = `Usage:
  npm run build:client

Packs the client package and the .proto files for other services into dist/.
`;

readCommandLine(usage, {});

const sources = "build/client-sources";
const built = "build/client";
const archive = "privacy-control-protos";

/** The declarations that those of the entry points import, and they themselves. */
function reachableDeclarations(entryPoints: readonly string[]): ReadonlySet<string> {
  const found = new Set(entryPoints.map((name) => `src/client/${name}.d.ts`));
  for (const declaration of found) {
    const text = readFileSync(join(built, declaration), "utf8");
    for (const [, path = ""] of text.matchAll(/(?:from|import\() ?"(\.[^"]+)\.ts"/g))
      if (!path.includes("/gen/")) found.add(join(dirname(declaration), `${path}.d.ts`));
  }
  return found;
}

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: "inherit" });
}

for (const folder of [sources, built]) rmSync(folder, { recursive: true, force: true });
run("node", "scripts/stage-protos.ts");
run("buf", "generate", "--template", "buf.gen.client.yaml");
for (const layer of ["client", "graph", "domain"])
  cpSync(`src/${layer}`, `${sources}/src/${layer}`, { recursive: true });
run("tsc", "--project", "client/tsconfig.json", "--emitDeclarationOnly");
run("tsc", "--project", "client/tsconfig.json", "--declaration", "false", "--removeComments");

const isReachable = reachableDeclarations(["index", "grpc-js", "replica"]);
for (const declaration of globSync("src/**/*.d.ts", { cwd: built }))
  if (!isReachable.has(declaration)) rmSync(join(built, declaration));

/** Comments of the generator that repeat a name: a third of all stubs. Those of the definitions stay. */
const nameComments = [
  /\n *\*\n *\* @generated from .*/g,
  / *\/\*\*\n *\* @generated from .*\n *\*\/\n/g,
  /\/\*\*\n \* Describes the .*\n(?: \* Use .*\n)? \*\/\n/g,
];
/** All comments of a file but for its head: Google documents its messages. */
const comments = [/^ *\/\*\*\n(?: *\*.*\n)+/gm];
for (const stub of globSync("gen/**/*.{js,d.ts}", { cwd: sources })) {
  const text = readFileSync(join(sources, stub), "utf8");
  const dropped = stub.startsWith("gen/google/") ? comments : nameComments;
  mkdirSync(dirname(join(built, stub)), { recursive: true });
  writeFileSync(
    join(built, stub),
    dropped.reduce((rest, comment) => rest.replaceAll(comment, ""), text),
  );
}

// Four spaces for each level, as tsc writes them, take 5% of the package.
const dense = ["--indent-style=tab", "--line-width=200"];
run("biome", "format", "--write", "--vcs-enabled=false", "--log-level=error", ...dense, built);

for (const file of ["package.json", "README.md", "service-config.json"])
  cpSync(`client/${file}`, `${built}/${file}`);
cpSync("LICENSE", `${built}/LICENSE`);
const table = JSON.parse(readFileSync("docs/decision-table.json", "utf8"));
writeFileSync(`${built}/decision-table.json`, JSON.stringify(table));
mkdirSync("dist", { recursive: true });
for (const stale of globSync("dist/nexgate-privacy-control-client-*.tgz")) rmSync(stale);
run("npm", "pack", `./${built}`, "--pack-destination", "dist");

// The definitions and all that they import, for the compilers of other languages.
const protos = `build/${archive}`;
rmSync(protos, { recursive: true, force: true });
cpSync("LICENSE", `${protos}/LICENSE`);
cpSync("client/protos.md", `${protos}/README.md`);
cpSync("client/service-config.json", `${protos}/service-config.json`);
for (const file of ["decision-table.json", "decision-table.schema.json"])
  cpSync(`docs/${file}`, `${protos}/${file}`);
cpSync("proto/nexgate", `${protos}/nexgate`, { recursive: true });
for (const folder of ["buf", "google"])
  cpSync(`build/proto/${folder}`, `${protos}/${folder}`, { recursive: true });
for (const name of ["any", "descriptor", "duration", "field_mask", "timestamp"]) {
  const path = `google/protobuf/${name}.proto`;
  cpSync(`node_modules/google-proto-files/${path}`, `${protos}/${path}`);
}
// Compilers before protoc 3.15 refuse this label of proto3. Nothing that reads the message needs it.
const details = `${protos}/google/rpc/error_details.proto`;
writeFileSync(details, readFileSync(details, "utf8").replaceAll(/^( +)optional (?=int64 )/gm, "$1"));
run("tar", "-czf", `dist/${archive}.tar.gz`, "-C", "build", archive);
process.stdout.write(`${archive}.tar.gz\n`);
