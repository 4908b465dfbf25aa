import { createWriteStream } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** A file that cannot be imported as a whole; the message says what was found and what is expected. */
export class InputError extends Error {
  override readonly name = "InputError";
}

/** A file to import. Disposing of it removes the temporary copy of standard input. */
export interface Source extends AsyncDisposable {
  readonly path: string;
  readonly size: number;
  /** Throws an `InputError` when the file is not what it was when it was opened. */
  assertUnchanged(): Promise<void>;
}

/** The path that means standard input. */
const standardInput = "-";

/**
 * Opens a file. Standard input is first copied to a temporary file that only its owner may read, since a source is read
 * twice.
 */
export async function openSource(path: string, input: Readable): Promise<Source> {
  if (path !== standardInput) return sourceOf(path, async () => {});
  const folder = await mkdtemp(join(tmpdir(), "privacy-control-import-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const copy = join(folder, "input");
    await pipeline(input, createWriteStream(copy, { mode: 0o600 }));
    return await sourceOf(copy, remove);
  } catch (failure) {
    await remove();
    throw failure;
  }
}

async function sourceOf(path: string, remove: () => Promise<void>): Promise<Source> {
  const before = await identityOf(path);
  return {
    path,
    size: before.size,
    async assertUnchanged() {
      const { size, mtimeMs, ino } = await identityOf(path);
      if (size !== before.size || mtimeMs !== before.mtimeMs || ino !== before.ino)
        throw new InputError("The file changed while it was imported: import it again.");
    },
    [Symbol.asyncDispose]: remove,
  };
}

async function identityOf(path: string) {
  const found = await stat(path);
  if (found.isDirectory()) throw new InputError(`${path} is a directory: expected a file.`);
  return found;
}
