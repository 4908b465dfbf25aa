import { existsSync, globSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Directories of programs that the PATH of an ordinary account may lack. */
const systemDirectories = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/** The path of the first of these programs that is installed: on the PATH, or where a system keeps its servers. */
export function findProgram(...names: readonly string[]): string | undefined {
  const directories = [...(process.env.PATH ?? "").split(delimiter), ...systemDirectories];
  return names.flatMap((name) => directories.map((directory) => join(directory, name))).find(existsSync);
}

/** The directory of the programs of the newest PostgreSQL that is installed. */
export function findPostgresql(): string | undefined {
  const onPath = (process.env.PATH ?? "").split(delimiter);
  const installed = globSync("/usr/lib/postgresql/*/bin").sort((a, b) =>
    b.localeCompare(a, "en", { numeric: true }),
  );
  return [...onPath, ...installed].find(
    (directory) => existsSync(join(directory, "initdb")) && existsSync(join(directory, "postgres")),
  );
}

const reported = new Set<string>();

/**
 * Returns what was found of a program that tests need. Where nothing was, says once that its tests are skipped; throws
 * on a CI machine, which has everything that a test may need.
 */
export function isNeeded<Found>(name: string, found: Found | undefined): Found | undefined {
  if (found !== undefined) return found;
  if (process.env.CI) throw new Error(`A CI machine must have ${name}: it is not installed`);
  if (!reported.has(name)) console.log(`Tests that need ${name} are skipped, because it is not installed.`);
  reported.add(name);
  return undefined;
}

/** The path of a program that a test needs. Skips the test or hook where it is missing; throws on a CI machine. */
export function programOrSkip(test: Mocha.Context, ...names: readonly [string, ...string[]]): string {
  return isNeeded(names[0], findProgram(...names)) ?? test.skip();
}
