import { execFileSync } from "node:child_process";
import { cpSync, globSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { readCommandLine } from "../src/command.ts";

const usage = `Usage:
  npm run build:client

Packs typed stubs and the .proto files for other services into dist/.
`;

readCommandLine(usage, {});

const built = "build/client";
const archive = "privacy-control-protos";

execFileSync("node", ["scripts/stage-protos.ts"], { stdio: "inherit" });
execFileSync("buf", ["generate", "--template", "buf.gen.client.yaml"], { stdio: "inherit" });
cpSync("client", built, { recursive: true });

const modules = globSync("nexgate/privacy/v1/*_pb.js", { cwd: built }).sort();
const index = modules.map((module) => `export * from "./${module}";\n`).join("");
writeFileSync(`${built}/index.js`, index);
writeFileSync(`${built}/index.d.ts`, index);

mkdirSync("dist", { recursive: true });
execFileSync("npm", ["pack", `./${built}`, "--pack-destination", "dist"], { stdio: "inherit" });

// The definitions and all that they import, for the compilers of other languages.
const protos = `build/${archive}`;
rmSync(protos, { recursive: true, force: true });
cpSync("LICENSE", `${protos}/LICENSE`);
cpSync("client/protos.md", `${protos}/README.md`);
cpSync("proto/nexgate", `${protos}/nexgate`, { recursive: true });
for (const folder of ["buf", "google"])
  cpSync(`build/proto/${folder}`, `${protos}/${folder}`, { recursive: true });
for (const name of ["any", "descriptor", "duration", "field_mask", "timestamp"]) {
  const path = `google/protobuf/${name}.proto`;
  cpSync(`node_modules/google-proto-files/${path}`, `${protos}/${path}`);
}
execFileSync("tar", ["-czf", `dist/${archive}.tar.gz`, "-C", "build", archive], { stdio: "inherit" });
