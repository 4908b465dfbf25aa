import { readFileSync } from "node:fs";

/** One instruction of a Dockerfile. */
interface Instruction {
  readonly name: string;
  readonly rest: string;
}

interface Copy {
  /** The stage that it is copied from; undefined: the context. */
  readonly stage: string | undefined;
  readonly sources: readonly string[];
  readonly target: string;
}

/** What a Dockerfile does from one `FROM` to the next. */
export interface Stage {
  readonly from: string;
  readonly name: string | undefined;
  readonly instructions: readonly Instruction[];
  readonly copies: readonly Copy[];
}

/** What `deploy/Dockerfile` says; only what it uses of the language is understood. */
export const image = readImage(readFileSync("deploy/Dockerfile", "utf8"));

function readImage(text: string) {
  const stages: (Stage & { instructions: Instruction[]; copies: Copy[] })[] = [];
  const lines = text
    .replace(/^\s*#.*\n/gm, "")
    .replaceAll(/\\\n\s*/g, "")
    .split("\n");
  for (const line of lines.filter((line) => line.trim() !== "")) {
    const [, name = "", rest = ""] = /^([A-Z]+) (.+)$/.exec(line) ?? [];
    if (name === "FROM") {
      const [from = "", , as] = rest.split(" ");
      stages.push({ from, name: as, instructions: [], copies: [] });
    } else {
      const stage = stages.at(-1);
      if (name === "" || stage === undefined) throw new Error(`not understood: ${line}`);
      stage.instructions.push({ name, rest });
      if (name === "COPY") stage.copies.push(readCopy(rest));
    }
  }
  const last = (name: string) =>
    stages.at(-1)?.instructions.findLast((instruction) => instruction.name === name)?.rest ?? "";
  return {
    stages: stages as readonly Stage[],
    user: last("USER"),
    variables: last("ENV")
      .split(" ")
      .map((pair) => pair.split("=")[0] ?? ""),
    exposed: last("EXPOSE").split(" ").map(Number),
    stopSignal: last("STOPSIGNAL") as NodeJS.Signals,
    healthCheck: JSON.parse(last("HEALTHCHECK").replace(/^.* CMD /, "")) as string[],
    command: JSON.parse(last("CMD")) as string[],
  };
}

/** Reads the operands of a COPY. */
export function readCopy(rest: string): Copy {
  const words = rest.split(" ");
  const stage = /^--from=(.+)$/.exec(words[0] ?? "")?.[1];
  const paths = stage === undefined ? words : words.slice(1);
  return { stage, sources: paths.slice(0, -1), target: paths.at(-1) ?? "" };
}
