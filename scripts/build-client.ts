import { execFileSync } from "node:child_process";
import { cpSync, globSync, mkdirSync, writeFileSync } from "node:fs";

const built = "build/client";

execFileSync("node", ["scripts/stage-protos.ts"], { stdio: "inherit" });
execFileSync("buf", ["generate", "--template", "buf.gen.client.yaml"], { stdio: "inherit" });
cpSync("client", built, { recursive: true });

const modules = globSync("nexgate/privacy/v1/*_pb.js", { cwd: built }).sort();
const index = modules.map((module) => `export * from "./${module}";\n`).join("");
writeFileSync(`${built}/index.js`, index);
writeFileSync(`${built}/index.d.ts`, index);

mkdirSync("dist", { recursive: true });
execFileSync("npm", ["pack", `./${built}`, "--pack-destination", "dist"], { stdio: "inherit" });
