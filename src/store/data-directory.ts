import { accessSync, constants, existsSync, mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";

const sqliteBusy = 5;

/** The data directory, or its content, cannot be used; the message is for the operator. */
export class DataDirectoryError extends Error {
  override readonly name = "DataDirectoryError";
}

/** Another instance, in this process or another, uses the data directory. */
export class DirectoryInUseError extends Error {
  override readonly name = "DirectoryInUseError";
}

/** The error for a path that cannot be read and written. */
function notWritable(path: string, cause: unknown): DataDirectoryError {
  const { message } = cause as Error;
  const advice = "set DATA_DIR to a directory in which this account may write";
  return new DataDirectoryError(`DATA_DIR: ${path} cannot be used (${message}); ${advice}`, { cause });
}

/** Makes the data directory, unless it exists, for its owner alone. Throws a `DataDirectoryError`. */
export function makeDataDirectory(dataDir: string): void {
  try {
    makeDirectory(resolve(dataDir));
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (failure) {
    throw notWritable(dataDir, failure);
  }
}

// Node's own `recursive` never returns where a directory cannot be made and the system says ENOENT, as below /proc.
function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  makeDirectory(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (failure) {
    // Another process may have made it meanwhile.
    if ((failure as NodeJS.ErrnoException).code !== "EEXIST") throw failure;
  }
}

/**
 * Takes the lock of a data directory and returns what releases it. The operating system releases it too, however the
 * process ends. Blocks this process for up to `waitMs` milliseconds while another one holds the lock. Throws
 * `DirectoryInUseError`, and `DataDirectoryError` when the file cannot be written.
 */
export function lockDirectory(dataDir: string, file: string, waitMs = 0): () => void {
  let lock: DatabaseSync | undefined;
  try {
    // SQLite locks its files on every platform. Node has no locks of files.
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
