import { type ExecFileSyncOptions, execFileSync } from "node:child_process";

/** Runs a command that installs packages. Throws an error that tells what npm said, and that it needs the registry. */
export function install(command: string, args: readonly string[], options: ExecFileSyncOptions): void {
  try {
    execFileSync(command, args, { ...options, stdio: ["ignore", "ignore", "pipe"] });
  } catch (failure) {
    const { stderr = "" } = failure as { stderr?: Buffer | string };
    const line = [command, ...args].join(" ");
    throw new Error(`this test needs npm's registry, and \`${line}\` failed:\n${stderr}`, { cause: failure });
  }
}
