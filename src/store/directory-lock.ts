import { DatabaseSync } from "node:sqlite";
import { notWritable } from "./data-directory.ts";

const sqliteBusy = 5;

/** Another instance, in this process or another, uses the data directory. */
export class DirectoryInUseError extends Error {
  override readonly name = "DirectoryInUseError";
}

/**
 * Takes the lock of a data directory and returns what releases it. The operating system releases it too, however the
 * process ends. Blocks this process for up to `waitMs` milliseconds while another one holds the lock. Throws
 * `DirectoryInUseError`, and `DataDirectoryError` when the file cannot be written.
 */
export function lockDirectory(dataDir: string, file: string, waitMs = 0): () => void {
  let lock: DatabaseSync | undefined;
  try {
    // SQLite locks its files on every platform, which Node does not by itself.
    lock = new DatabaseSync(file, { timeout: waitMs });
    lock.exec("pragma locking_mode = exclusive; begin exclusive");
  } catch (failure) {
    lock?.close();
    if ((failure as { errcode?: unknown }).errcode !== sqliteBusy) throw notWritable(file, failure);
    throw new DirectoryInUseError(`The data directory ${dataDir} is in use by another instance`, {
      cause: failure,
    });
  }
  return () => lock.close();
}
