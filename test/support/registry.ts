import { type ExecFileSyncOptions, execFileSync } from "node:child_process";

/** A request that the registry leaves without an answer is repeated soon: npm itself waits for five minutes. */
const fetchSettings = {
  npm_config_fetch_timeout: "10000",
  npm_config_fetch_retries: "5",
  npm_config_fetch_retry_mintimeout: "1000",
};

/** Runs a command that installs packages. Throws an error with npm's message, and the hint that the registry is needed. */
export function install(command: string, args: readonly string[], options: ExecFileSyncOptions): void {
  try {
    execFileSync(command, args, {
      ...options,
      env: { ...(options.env ?? process.env), ...fetchSettings },
      stdio: ["ignore", "ignore", "pipe"],
    });
  } catch (failure) {
    const { stderr = "" } = failure as { stderr?: Buffer | string };
    const line = [command, ...args].join(" ");
    throw new Error(`this test needs npm's registry, and \`${line}\` failed:\n${stderr}`, { cause: failure });
  }
}
