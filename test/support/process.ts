import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

/** A command of package.json that runs as a process of its own. */
export interface RunningScript {
  readonly child: ChildProcess;
  /** Everything written so far. */
  output(): string;
  /** Resolves when the output has what is looked for; rejects when the process ends before. */
  sees(pattern: RegExp): Promise<string>;
  /** Sends a signal to the process and resolves to its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
  /** Resolves to the exit code. */
  readonly exited: Promise<number | null>;
}

/** Starts `npm run NAME -- ...`, with the given environment and nothing of ours that could configure it. */
export function runScript(
  name: string,
  environment: Record<string, string>,
  args: string[] = [],
): RunningScript {
  return run("npm", ["run", "--silent", name, "--", ...args], environment);
}

/** Starts a source file by the Node of this process: signals reach it, and nothing but it. */
export function runFile(
  path: string,
  environment: Record<string, string>,
  nodeOptions: string[] = [],
  args: string[] = [],
): RunningScript {
  return run(process.execPath, [...nodeOptions, path, ...args], environment);
}

function run(command: string, args: string[], environment: Record<string, string>): RunningScript {
  const { PATH = "", HOME = "" } = process.env;
  const child = spawn(command, args, { env: { PATH, HOME, ...environment }, detached: true });
  const chunks: Buffer[] = [];
  const output = () => Buffer.concat(chunks).toString();
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => chunks.push(chunk));
  const exited = once(child, "close").then(([code]) => code as number | null);

  return {
    child,
    output,
    exited,
    sees: (pattern) =>
      new Promise((resolve, reject) => {
        const streams = [child.stdout, child.stderr];
        const look = () => {
          if (!pattern.test(output())) return;
          for (const stream of streams) stream.off("data", look);
          resolve(output());
        };
        for (const stream of streams) stream.on("data", look);
        exited.then(
          (code) => reject(new Error(`ended with ${code} before it wrote ${pattern}:\n${output()}`)),
          reject,
        );
        look();
      }),
    stop(signal = "SIGTERM") {
      if (child.exitCode === null && child.signalCode === null) {
        // npm passes other signals on to what it runs; this one only reaches a process that is named, so name them all.
        if (signal === "SIGKILL") process.kill(-(child.pid ?? 0), signal);
        else child.kill(signal);
      }
      return exited;
    },
  };
}
