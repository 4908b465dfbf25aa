import { DatabaseSync } from "node:sqlite";

const sqliteBusy = 5;

/** Another instance, in this process or another, uses the data directory. */
export class DirectoryInUseError extends Error {
  override readonly name = "DirectoryInUseError";
}

/**
 * Takes the lock of a data directory and returns what releases it. The operating system releases it too, however the
 * process ends. Throws `DirectoryInUseError`.
 */
export function lockDirectory(dataDir: string, file: string): () => void {
  // SQLite locks its files on every platform, which Node does not by itself.
  const lock = new DatabaseSync(file, { timeout: 0 });
  try {
    lock.exec("pragma locking_mode = exclusive; begin exclusive");
  } catch (failure) {
    lock.close();
    if ((failure as { errcode?: unknown }).errcode !== sqliteBusy) throw failure;
    throw new DirectoryInUseError(`The data directory ${dataDir} is in use by another instance`, {
      cause: failure,
    });
  }
  return () => lock.close();
}
