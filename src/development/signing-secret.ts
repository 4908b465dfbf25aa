import { randomBytes } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../config/read.ts";

const secretBytes = 32;

/**
 * The secret that signs tokens where none is configured: made on the first start and kept in the data directory,
 * readable by its owner alone. Not for production, where the configuration must name a key.
 *
 * Throws a `ConfigError` when the file holds no such secret.
 */
export function developmentSecret(dataDir: string): string {
  const path = join(dataDir, "jwt-secret");
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  placeOnce(path, randomBytes(secretBytes).toString("base64url"));
  const secret = readFileSync(path, "utf8");
  if (Buffer.byteLength(secret) < secretBytes) {
    throw new ConfigError(
      `The key in ${path} is damaged: delete the file, and tokens that it signed become invalid`,
    );
  }
  return secret;
}

/** Writes a file unless it exists. Whoever reads it, after a crash or at the same time, never finds it half-written. */
function placeOnce(path: string, content: string): void {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, content, { mode: 0o600 });
  try {
    linkSync(draft, path);
  } catch (failure) {
    if ((failure as NodeJS.ErrnoException).code !== "EEXIST") throw failure;
  } finally {
    rmSync(draft);
  }
}
