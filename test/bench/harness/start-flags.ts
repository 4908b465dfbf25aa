import { readFileSync } from "node:fs";

/** The flags with which `npm start` has Node run the service. */
export const startFlags: readonly string[] = flagsOf(
  JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")).scripts.start,
);

function flagsOf(command: string): string[] {
  const flags = /^exec node (.*)src\/main\.ts$/.exec(command)?.[1];
  if (flags === undefined) throw new Error(`npm start is "${command}"`);
  return flags.split(" ").filter((flag) => flag !== "");
}
