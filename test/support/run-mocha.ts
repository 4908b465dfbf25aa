import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";

/** The result of a test run. */
export interface Outcome {
  readonly passing: number;
  readonly failing: number;
  readonly pending: number;
}

/** A process of mocha. */
interface MochaRun {
  /** Resolves when it has ended. A process that crashes or prints no result counts as one failure. */
  readonly outcome: Promise<Outcome>;
  /** Passes on what it has written and will write, until it has ended. */
  show(write: (chunk: Buffer) => void): Promise<void>;
}

/** Starts mocha on some files, as a process of its own. Its output is kept until it is shown. */
export function runMocha(files: readonly string[], args: readonly string[] = []): MochaRun {
  const mocha = fileURLToPath(import.meta.resolve("mocha/bin/mocha.js"));
  const child = spawn(process.execPath, [mocha, ...args, ...files], { stdio: ["ignore", "pipe", "pipe"] });
  const closed = once(child, "close");
  const chunks: Buffer[] = [];
  let show = (_chunk: Buffer) => {};
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      show(chunk);
    });
  return {
    outcome: closed.then(([code]) => outcomeOf(Buffer.concat(chunks).toString(), code)),
    async show(write) {
      write(Buffer.concat(chunks));
      show = write;
      await closed;
    },
  };
}

function outcomeOf(output: string, code: number | null): Outcome {
  const text = stripVTControlCharacters(output);
  // The last line of its kind: a test may have shown the output of another run.
  const count = (what: string) => [...text.matchAll(new RegExp(`^ +(\\d+) ${what}`, "gm"))].at(-1)?.[1];
  const [passing, failing = 0, pending = 0] = ["passing", "failing", "pending"].map(count);
  const isWhole = code === 0 && passing !== undefined;
  return {
    passing: Number(passing ?? 0),
    failing: isWhole ? Number(failing) : Math.max(1, Number(failing)),
    pending: Number(pending),
  };
}
