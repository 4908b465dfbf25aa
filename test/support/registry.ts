import { type ExecFileSyncOptions, execFileSync } from "node:child_process";

/** Runs a command that installs packages. Throws an error with npm's message, and the hint that the registry is needed. */
export function install(command: string, args: readonly string[], options: ExecFileSyncOptions): void {
  try {
    execFileSync(command, args, { ...options, stdio: ["ignore", "ignore", "pipe"] });
  } catch (failure) {
    const { stderr = "" } = failure as { stderr?: Buffer | string };
    const line = [command, ...args].join(" ");
    throw new Error(`this test needs npm's registry, and \`${line}\` failed:\n${stderr}`, { cause: failure });
  }
}
