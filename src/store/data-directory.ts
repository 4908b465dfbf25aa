import { accessSync, constants, mkdirSync } from "node:fs";

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
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (failure) {
    throw notWritable(dataDir, failure);
  }
}
