import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

// Ends with its standard input, so that a test run that crashes leaves no daemon behind.
const script = `
"$@" &
read -r _
kill -TERM $!
wait $!
`;

/** A program that runs in the background. */
export interface Daemon {
  /** The lines that it has written. */
  readonly log: readonly string[];
  stop(): Promise<void>;
}

/** Starts a program, and waits until `isReady` holds for a line of its log. `account`: that it runs as. */
export async function startDaemon(
  command: readonly [string, ...string[]],
  isReady: (line: string) => boolean,
  account: { uid?: number; gid?: number } = {},
): Promise<Daemon> {
  const child = spawn("/bin/sh", ["-c", script, "sh", ...command], { cwd: "/", ...account });
  const log: string[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  for (const output of [child.stdout, child.stderr]) {
    createInterface(output).on("line", (line) => {
      log.push(line);
      if (isReady(line)) resolve();
    });
  }
  const exit = once(child, "exit");
  exit.then(() => reject(new Error(`${command[0]} did not start: ${log.join("; ")}`)), reject);
  await promise;
  return {
    log,
    async stop() {
      child.stdin.end();
      await exit;
    },
  };
}
