import { once } from "node:events";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import type { Writable } from "node:stream";

/** A place for the text of a command. */
export interface Output {
  /** Resolves when more may be written. Throws a `ClosedPipeError` when the reader of a pipe has gone. */
  write(text: string): Promise<void>;
  /** The text is complete. */
  commit(): Promise<void>;
  /** The text will not be complete: nothing may be taken for the whole of it. Does nothing after `commit`. */
  discard(): Promise<void>;
}

/** The place for the text cannot be used; the message says why. */
class OutputError extends Error {
  override readonly name = "OutputError";
}

/** The reader of a pipe has gone: there is nothing more to do, and nobody to tell. */
export class ClosedPipeError extends Error {
  override readonly name = "ClosedPipeError";
}

/**
 * A new file, readable by its owner alone. It has its name only when the text is complete; until then it is
 * `PATH.part`. Throws an `OutputError` when either exists, unless `force` is set, and for a path that is no regular file.
 */
export async function openFile(path: string, { force }: { readonly force: boolean }): Promise<Output> {
  const part = `${path}.part`;
  const isThere = await exists(path);
  if (force) await rm(part, { force: true });
  else if (isThere) throw new OutputError(`${path} exists: --force replaces it.`);
  const file = await createFile(part);
  let isOpen = true;
  const close = async () => {
    if (isOpen) await file.close();
    isOpen = false;
  };
  return {
    async write(text) {
      await file.writeFile(text);
    },
    async commit() {
      await file.sync();
      const { ino } = await file.stat();
      await close();
      if (!force && (await exists(path)))
        throw new OutputError(`${path} has come to exist meanwhile: what was written is in ${part}.`);
      if ((await stat(part)).ino !== ino)
        throw new OutputError(`${part} was replaced meanwhile, by another run with --force.`);
      await rename(part, path);
    },
    async discard() {
      if (!isOpen) return;
      await close();
      await rm(part, { force: true });
    },
  };
}

async function createFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, "wx", 0o600);
  } catch (failure) {
    if ((failure as NodeJS.ErrnoException).code !== "EEXIST") throw failure;
    throw new OutputError(`${path} exists: another run writes it, or one was killed. --force replaces it.`);
  }
}

async function exists(path: string): Promise<boolean> {
  const found = await stat(path).catch((failure: NodeJS.ErrnoException) => {
    if (failure.code === "ENOENT") return undefined;
    throw failure;
  });
  if (found?.isDirectory()) throw new OutputError(`${path} is a directory, not a file.`);
  // A device or a pipe would be replaced, not written to.
  if (found?.isFile() === false)
    throw new OutputError(`${path} is no regular file. For standard output write -.`);
  return found !== undefined;
}

/** A stream that is open already, such as standard output. */
export function openStream(stream: Writable): Output {
  let failure: Error | undefined;
  stream.on("error", (error: NodeJS.ErrnoException) => {
    failure ??= error.code === "EPIPE" ? new ClosedPipeError("the reader has gone") : error;
  });
  return {
    async write(text) {
      if (failure !== undefined) throw failure;
      // An error rejects here too; it is thrown as the listener above has classified it.
      if (!stream.write(text)) await once(stream, "drain").catch(() => {});
      if (failure !== undefined) throw failure;
    },
    async commit() {
      await new Promise<void>((resolve) => stream.write("", () => resolve()));
      if (failure !== undefined) throw failure;
    },
    async discard() {},
  };
}
