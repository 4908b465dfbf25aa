import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const project = fileURLToPath(new URL("../../..", import.meta.url));
/** A registry that leaves a request without an answer is asked again soon: npm itself waits for minutes. */
const fetching = ["--fetch-timeout=10000", "--fetch-retries=5", "--fetch-retry-mintimeout=1000"];
const example = fileURLToPath(new URL("..", import.meta.url));

/** Packs the client, and installs it into the example with everything else that package.json names. */
export function installClient(): void {
  run(project, ["run", "--silent", "build:client"]);
  // npm would keep an installed package of the same version.
  rmSync(`${example}/node_modules`, { recursive: true, force: true });
  run(example, ["install", "--no-package-lock", "--no-audit", "--no-fund", "--prefer-offline", ...fetching]);
}

function run(folder: string, args: readonly string[]): void {
  try {
    execFileSync("npm", args, { cwd: folder, stdio: "pipe" });
  } catch (failure) {
    const { stdout = "", stderr = "" } = failure as { stdout?: Buffer | string; stderr?: Buffer | string };
    throw new Error(`npm ${args.join(" ")} has failed:\n${stdout}${stderr}`, { cause: failure });
  }
}
