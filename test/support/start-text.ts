import { execFileSync } from "node:child_process";
import { stripVTControlCharacters } from "node:util";

/** What the text of a start has for a shell. */
export interface ShellLines {
  /** The lines that set variables. */
  readonly variables: readonly string[];
  /** The commands, each of one or more lines, in their order. */
  readonly commands: readonly string[];
  /** Runs a command as a newcomer would: pasted into a shell that has the variables. Returns what it writes. */
  paste(command: string): string;
}

/** Takes the text of a start apart. */
export function shellLines(text: string): ShellLines {
  const plain = stripVTControlCharacters(text);
  const variables = plain.split("\n").filter((line) => /^[A-Z_]+=/.test(line));
  const commands = plain.match(/^(?:curl|npx) .*(?:\n {2}.*\S)*$/gm) ?? [];
  return {
    variables,
    commands,
    paste: (command) =>
      execFileSync("sh", ["-c", [...variables, command].join("\n")], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      }),
  };
}
