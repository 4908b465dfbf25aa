import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FileRecord, readRecords } from "../../src/importer/read-records.ts";
import type { ReadOptions } from "../../src/importer/records.ts";
import { InputError } from "../../src/importer/source.ts";

/** What a file was read as, or why it was refused. */
export interface Read {
  readonly records: readonly FileRecord[];
  readonly refusal: string | undefined;
}

/** Reads a file of the given content. */
export async function readContent(
  name: string,
  content: string | Uint8Array,
  reading: Partial<ReadOptions> = {},
): Promise<Read> {
  const folder = mkdtempSync(join(tmpdir(), "privacy-control-"));
  const path = join(folder, name);
  writeFileSync(path, content);
  const records: FileRecord[] = [];
  try {
    for await (const record of readRecords(path, { assumeUtc: false, ignore: [], ...reading }))
      records.push(record);
    return { records, refusal: undefined };
  } catch (failure) {
    if (!(failure instanceof InputError)) throw failure;
    return { records, refusal: failure.message };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The id of a made-up user. */
export const id = (n: number) => `00000000-0000-4000-8000-${n.toString().padStart(12, "0")}`;
