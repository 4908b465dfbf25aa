import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { readCommandLine } from "../src/command.ts";

interface Component {
  readonly "bom-ref": string;
  readonly properties: readonly { readonly name: string }[];
}

interface Sbom {
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

const usage = `Usage:
  npm run sbom

Writes what production uses to dist/sbom.json, as CycloneDX.
`;

readCommandLine(usage, {});

// Not `--omit dev`: that leaves out what development uses too.
const options = ["--package-lock-only", "--sbom-format", "cyclonedx"];
const everything: Sbom = JSON.parse(
  execFileSync("npm", ["sbom", ...options], { encoding: "utf8", maxBuffer: 2 ** 26 }),
);
const development = new Set(
  everything.components
    .filter(({ properties }) => properties.some(({ name }) => name === "cdx:npm:package:development"))
    .map((component) => component["bom-ref"]),
);
const shipped: Sbom = {
  ...everything,
  components: everything.components.filter((component) => !development.has(component["bom-ref"])),
  dependencies: everything.dependencies
    .filter(({ ref }) => !development.has(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((on) => !development.has(on)) })),
};
mkdirSync("dist", { recursive: true });
writeFileSync("dist/sbom.json", `${JSON.stringify(shipped, null, 2)}\n`);
