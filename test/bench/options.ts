import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readCommandLine } from "../../src/command.ts";
import { type Size, sizes } from "./data/sizes.ts";
import { requireTools } from "./harness/machine.ts";

/** What the command line of the benchmark asks for. */
export interface Options {
  readonly sizeName: "full" | "small";
  readonly size: Size;
  readonly rounds: number;
  readonly ms: number;
  readonly warmUpMs: number;
  /** Only the comparisons whose id contains this. */
  readonly only: string;
  /** Where the result and the picture go, without an ending; undefined writes none. */
  readonly output: string | undefined;
}

/** The least number of rounds in which quartiles say something. */
const leastRounds = 9;

/** The options of every benchmark, for its usage. */
const optionsText = `Options:
  --size full|small   how many rows the database has
  --rounds N          how often everything is measured
  --seconds N         how long a measurement takes
  --only TEXT         only the comparisons whose name contains the text
  --output PATH       where the result goes, without an ending
  --help              shows this
`;

/**
 * Reads the command line of a benchmark; `defaults` come before what is given. Ends the process after `--help`. Throws
 * an `Error` for people to read.
 */
function readOptions(name: string, purpose: string, defaults: readonly string[] = []): Options {
  const args = [...defaults, ...process.argv.slice(2)];
  const usage = `Usage:\n  npm run ${name} -- [options]\n\n${purpose}\n\n${optionsText}`;
  const { values } = readCommandLine(usage, {
    args,
    options: {
      size: { type: "string", default: "full" },
      rounds: { type: "string", default: String(leastRounds) },
      seconds: { type: "string", default: "3" },
      only: { type: "string", default: "" },
      output: { type: "string", default: "" },
    },
  });
  if (values.size !== "full" && values.size !== "small") throw new Error("--size is full or small");
  const rounds = Number(values.rounds);
  const seconds = Number(values.seconds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error("--rounds is a number from 1");
  if (!Number.isInteger(seconds) || seconds < 1) throw new Error("--seconds is a number from 1");
  return {
    sizeName: values.size,
    size: sizes[values.size],
    rounds,
    ms: seconds * 1_000,
    warmUpMs: Math.min(seconds, 2) * 1_000,
    only: values.only,
    output: values.output || (values.size === "full" && values.only === "" ? "docs/benchmark" : undefined),
  };
}

/** A benchmark under way. */
export interface Program {
  readonly options: Options;
  /** A directory that is removed at the end. */
  readonly folder: string;
  /** Writes a line about a step, with the time since the start. */
  say(step: string): void;
}

/** Begins a benchmark: reads its command line, and looks for the tools that it needs. */
export function beginBenchmark(name: string, purpose: string, defaults?: readonly string[]): Program {
  const options = readOptions(name, purpose, defaults);
  requireTools();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
  const folder = mkdtempSync(join(tmpdir(), "privacy-control-bench-"));
  // Also when the run is broken off: the servers then end on their own.
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const startedAt = performance.now();
  return {
    options,
    folder,
    say(step) {
      const seconds = Math.round((performance.now() - startedAt) / 1_000);
      const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
      process.stderr.write(`${clock.padStart(6)}  ${step}\n`);
    },
  };
}
