import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../config/variables.ts";
import { makeDataDirectory } from "../store/data-directory.ts";
import { lockDirectory } from "../store/directory-lock.ts";

const secretBytes = 32;
/** How long to wait for another process that makes the secret, in milliseconds. */
const lockWaitMs = 10_000;

/**
 * The secret that signs tokens where none is configured: made on the first start and kept in the data directory,
 * readable by its owner alone. Not for production, where the configuration must name a key.
 *
 * Throws a `ConfigError` when the file holds no such secret, and a `DataDirectoryError` when the directory cannot be used.
 */
export function developmentSecret(dataDir: string): string {
  const path = join(dataDir, "jwt-secret");
  if (!existsSync(path)) {
    makeDataDirectory(dataDir);
    createOnce(path, dataDir);
  }
  const secret = readFileSync(path, "utf8");
  if (Buffer.byteLength(secret) < secretBytes) {
    throw new ConfigError(
      `The key in ${path} is damaged: delete the file, and tokens that it signed become invalid`,
    );
  }
  return secret;
}

/** Makes the file, unless another process has. No reader ever sees it half-written, also after a crash. */
function createOnce(path: string, dataDir: string): void {
  // The lock is needed because a rename would replace the file of another process; some file systems have no hard links.
  const release = lockDirectory(dataDir, `${path}.lock`, lockWaitMs);
  try {
    if (existsSync(path)) return;
    const draft = `${path}.new`;
    writeFileSync(draft, randomBytes(secretBytes).toString("base64url"), { mode: 0o600 });
    renameSync(draft, path);
  } finally {
    release();
  }
}
