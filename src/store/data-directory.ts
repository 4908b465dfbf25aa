import { accessSync, constants, existsSync, mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";

/** The data directory, or what it holds, cannot be used; the message tells the operator what to do. */
export class DataDirectoryError extends Error {
  override readonly name = "DataDirectoryError";
}

/** The error for a path that cannot be read and written. */
export function notWritable(path: string, cause: unknown): DataDirectoryError {
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
