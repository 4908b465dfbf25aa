import { closeSync, openSync, writeSync } from "node:fs";
import { SkipReason } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import type { Skipped } from "./import-file.ts";

/** How many skipped records are named on standard output. */
const shownSkips = 20;

const names = Object.entries(SkipReason);

/** The name of a reason. */
export function reasonName(reason: SkipReason): string {
  return names.find(([, value]) => value === reason)?.[0] ?? "UNSPECIFIED";
}

/** Lists the skipped records: the first ones for people, all of them in a file where one is given. */
export class SkippedReport {
  readonly #file: number | undefined;
  readonly #shown: string[] = [];
  #count = 0;

  constructor(path: string | undefined) {
    this.#file = path === undefined ? undefined : openSync(path, "w");
  }

  add({ line, reason, description }: Skipped): void {
    const text = `line ${line}: ${reasonName(reason)}: ${description}\n`;
    if (this.#file !== undefined) writeSync(this.#file, text);
    if (this.#count++ < shownSkips) this.#shown.push(`  ${text}`);
  }

  /** Closes the file, and returns the lines for people. */
  end(): string {
    if (this.#file !== undefined) closeSync(this.#file);
    const more = this.#count - this.#shown.length;
    if (more > 0) this.#shown.push(`  and ${more} more: --skipped-file FILE names all of them\n`);
    return this.#shown.join("");
  }
}
