import { parseArgs } from "node:util";
import { type Size, sizes } from "./data/sizes.ts";

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

/** Reads the command line. Throws an `Error` for people to read. */
export function readOptions(args: string[]): Options {
  const { values } = parseArgs({
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
