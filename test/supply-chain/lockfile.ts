import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A package as package-lock.json describes it. */
export interface LockedPackage {
  /** Where it is installed: `node_modules/...`. */
  readonly path: string;
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  /** Whether only development needs it. */
  readonly dev?: boolean;
  /** Whether all goes well without it. */
  readonly optional?: boolean;
  readonly engines?: { readonly node?: string };
}

export const manifest = readJson("package.json");

/** Every package of the lock file, whatever platform it is for. */
export const lockedPackages: readonly LockedPackage[] = Object.entries<LockedPackage>(
  readJson("package-lock.json").packages,
)
  .filter(([path]) => path !== "")
  .map(([path, entry]) => ({ ...entry, path, name: path.slice(path.lastIndexOf("node_modules/") + 13) }));

/** What an installed package says of itself; undefined for those of other platforms. */
export function installedManifest({ path }: LockedPackage): { license?: string } | undefined {
  const file = join(path, "package.json");
  return existsSync(file) ? readJson(file) : undefined;
}

// biome-ignore lint/suspicious/noExplicitAny: files whose shape the tests assert
function readJson(path: string): any {
  return JSON.parse(readFileSync(path, "utf8"));
}
