import { execFileSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { install } from "./registry.ts";

const flags = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"];

/** The releases of Node besides that of this project on which the client package is tested. */
const nodeVersions = ["20.20.2", "22.23.2", "24.21.0"];
const nodesFolder = "build/node-versions";

/** A release of Node. */
export interface Node {
  readonly version: string;
  /** The path of its program. */
  readonly path: string;
}

let built = false;

/** Builds the client package and the archive of definitions, once for all tests. Returns the paths of both. */
export function buildClient(): { readonly tarball: string; readonly archive: string } {
  if (!built)
    execFileSync("npm", ["run", "--silent", "build:client"], { stdio: ["ignore", "ignore", "pipe"] });
  built = true;
  const [tarball = ""] = globSync("dist/nexgate-privacy-control-client-*.tgz");
  return { tarball: resolve(tarball), archive: resolve("dist/privacy-control-protos.tar.gz") };
}

/**
 * Makes a folder with nothing but the client package and some packages: those that this project has in its version, unless
 * another one is named.
 */
export function folderWithClient(
  packages: readonly string[],
  others: Readonly<Record<string, string>> = {},
): string {
  const { tarball } = buildClient();
  const folder = mkdtempSync(join(tmpdir(), "privacy-control-client-"));
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  const { dependencies, devDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
  const versions: Readonly<Record<string, string>> = { ...dependencies, ...devDependencies, ...others };
  const named = packages.map((name) => `${name}@${versions[name]}`);
  install("npm", ["install", ...flags, tarball, ...named], { cwd: folder });
  return folder;
}

/**
 * Installs the releases of Node that the client package supports, once for this working copy; undefined where npm has
 * none of them for the platform.
 */
export function installNodes(): readonly Node[] | undefined {
  if (process.platform !== "linux") return undefined;
  const nodes = nodeVersions.map((version) => {
    const name = `node${Number.parseInt(version, 10)}`;
    return { version, name, folder: join(nodesFolder, "node_modules", name) };
  });
  const isInstalled = nodes.every(
    ({ version, folder }) => installedVersion(join(folder, "package.json")) === version,
  );
  if (!isInstalled) {
    const source = `node-${process.platform}-${process.arch}`;
    const named = nodes.map(({ version, name }) => `${name}@npm:${source}@${version}`);
    install("npm", ["install", "--prefix", nodesFolder, "--no-bin-links", ...flags, ...named], {});
  }
  return nodes.map(({ version, folder }) => ({ version, path: resolve(folder, "bin/node") }));
}

function installedVersion(manifest: string): string | undefined {
  const [found] = globSync(manifest);
  return found === undefined ? undefined : JSON.parse(readFileSync(found, "utf8")).version;
}

/** The examples of the client's README in JavaScript, each with the heading of its section. */
export function readmeExamples(): { readonly heading: string; readonly code: string }[] {
  const sections = readFileSync("client/README.md", "utf8").split(/^## /m).slice(1);
  return sections.flatMap((section) => {
    const [heading = ""] = section.split("\n", 1);
    return [...section.matchAll(/^```js\n(.*?)^```/gms)].map(([, code = ""]) => ({ heading, code }));
  });
}
