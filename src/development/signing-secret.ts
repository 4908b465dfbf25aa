import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * The secret that signs tokens where none is configured: made on the first start and kept in the data directory,
 * readable by its owner alone. Not for production, where the configuration must name a key.
 */
export function developmentSecret(dataDir: string): string {
  const path = join(dataDir, "jwt-secret");
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  try {
    writeFileSync(path, randomBytes(32).toString("base64url"), { flag: "wx", mode: 0o600 });
  } catch (failure) {
    if ((failure as NodeJS.ErrnoException).code !== "EEXIST") throw failure;
  }
  return readFileSync(path, "utf8");
}
