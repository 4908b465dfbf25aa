import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** How long a program may take to exit after SIGTERM, in milliseconds. */
const stopMs = 20_000;
/** Lines that an error shows when a program ends before it listens. */
const shownLines = 20;

/** A program that logs one JSON object a line, with the message `listening` when it serves. */
export class Program {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;

  constructor(name: string, file: string, env: Record<string, string>) {
    const { PATH = "" } = process.env;
    this.#name = name;
    // Nothing else of the environment: a DATABASE_URL in it is not meant for an example.
    this.#child = spawn(process.execPath, [file], {
      env: { PATH, ...env },
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#exited = once(this.#child, "exit");
  }

  /** Returns the fields of the line by which it says that it listens. Rejects when it ends before. */
  async listening(): Promise<Record<string, string>> {
    const last: string[] = [];
    const lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream });
    const found = new Promise<Record<string, string>>((resolve) => {
      // Goes on reading: a pipe that nobody reads would stop the program.
      lines.on("line", (line) => {
        last.push(line);
        if (last.length > shownLines) last.shift();
        const fields = fieldsOf(line);
        if (fields?.message === "listening" || fields?.msg === "listening") resolve(fields);
      });
    });
    const ended = this.#exited.then(() => {
      throw new Error(`${this.#name} has ended:\n${last.join("\n")}`);
    });
    return Promise.race([found, ended]);
  }

  /** Ends it, and waits until it has ended. */
  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGTERM");
    const kill = setTimeout(() => this.#child.kill("SIGKILL"), stopMs);
    await this.#exited;
    clearTimeout(kill);
  }
}

function fieldsOf(line: string): Record<string, string> | undefined {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
