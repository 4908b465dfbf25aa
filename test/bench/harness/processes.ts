import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, truncateSync } from "node:fs";
import { cpuSecondsOf, onCore, serverCore } from "./machine.ts";

/** A server of Node, alone on its core. */
export interface Server {
  readonly pid: number;
  readonly ports: { readonly grpc: number; readonly http: number; readonly admin: number };
  /** Processor seconds used so far. */
  cpuSeconds(): number;
  /** Throws when the server has ended, or written to its log of a fault or of a call that failed; empties the log. */
  checkLog(): void;
  stop(): Promise<void>;
}

const readyMs = 30_000;

/** Starts a server that announces its ports. Its standard output goes into the file `log`. */
export async function startServer(
  script: string,
  args: readonly string[],
  log: string,
  environment: Record<string, string> = {},
  nodeFlags: readonly string[] = [],
): Promise<Server> {
  const [command, commandLine] = onCore(serverCore, [process.execPath, ...nodeFlags, script, ...args]);
  // Appending, so that emptying the file leaves no hole.
  const output = openSync(log, "a");
  const child = spawn(command, commandLine, {
    env: { PATH: process.env.PATH, NODE_ENV: "production", ...environment },
    stdio: ["ignore", output, "inherit", "ipc"],
  });
  closeSync(output);
  const [ports] = await Promise.race([
    once(child, "message", { signal: AbortSignal.timeout(readyMs) }),
    once(child, "exit").then(() => {
      throw new Error(`${script} ended before it was ready:\n${readFileSync(log, "utf8")}`);
    }),
  ]);
  return {
    pid: child.pid ?? 0,
    ports,
    cpuSeconds: () => cpuSecondsOf(child.pid ?? 0),
    checkLog() {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${script} has ended`);
      // The load cuts off the calls that are under way at its end.
      const fault = readFileSync(log, "utf8").match(
        /^.*(?:"level":"(?:error|fatal)"|"code":"(?!ok"|canceled")).*$/m,
      );
      if (fault !== null) throw new Error(`${script} logged ${fault[0]}`);
      truncateSync(log);
    },
    stop: () => stop(child),
  };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}
