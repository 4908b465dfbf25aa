import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SignJWT } from "jose";
import type { SigningConfig } from "../config/config.ts";
import { ConfigError } from "../config/variables.ts";
import type { UserId } from "../domain/users.ts";
import { lockDirectory, makeDataDirectory } from "../store/data-directory.ts";

/** What a token needs besides its subject. */
export interface TokenIssuer {
  readonly secret: string;
  readonly issuer: string;
  readonly audience: string;
  readonly serviceAudience: string;
  readonly hours: number;
  /** The claim that holds the user's id; `sub` by default. */
  readonly userClaim?: string;
  /** The claim that holds a service's scopes; `scope` by default. */
  readonly scopeClaim?: string;
}

/** How long a token of the start-up text is valid. */
const startTextHours = 24;
const secretBytes = 32;
/** How long to wait for another process that makes the secret, in milliseconds. */
const lockWaitMs = 10_000;

/**
 * What signs tokens in development, where no key is configured. Makes the secret on the first start. Undefined where a
 * key is configured, and in production.
 */
export function developmentIssuer({ production, jwt, database }: SigningConfig): TokenIssuer | undefined {
  if (production || jwt.secret !== undefined || jwt.jwksUrl !== undefined) return undefined;
  return { ...jwt, secret: developmentSecret(database.dataDir), hours: startTextHours };
}

/**
 * What signs tokens for a command: the configured secret, else the one of the data directory. Undefined where only
 * others have the private key. Throws a `ConfigError` when there is no secret: a new one would sign tokens that no
 * service accepts.
 */
export function configuredIssuer({ jwt, database }: SigningConfig, hours: number): TokenIssuer | undefined {
  if (jwt.jwksUrl !== undefined) return undefined;
  return { ...jwt, secret: jwt.secret ?? readSecret(database.dataDir), hours };
}

/** Signs a user's token (HS256). */
export function userToken(user: UserId, issuer: TokenIssuer): Promise<string> {
  const { userClaim = "sub", audience } = issuer;
  return sign(new SignJWT({ [userClaim]: user }).setAudience(audience), issuer);
}

/** Signs a service's token (HS256); `scope` holds the scopes between spaces. */
export function serviceToken(name: string, scope: string, issuer: TokenIssuer): Promise<string> {
  const { scopeClaim = "scope", serviceAudience } = issuer;
  return sign(new SignJWT({ [scopeClaim]: scope }).setSubject(name).setAudience(serviceAudience), issuer);
}

function sign(token: SignJWT, { secret, issuer, hours }: TokenIssuer): Promise<string> {
  return token
    .setProtectedHeader({ alg: "HS256" })
    .setIssuer(issuer)
    .setExpirationTime(`${hours} hours`)
    .sign(new TextEncoder().encode(secret));
}

/**
 * The secret that signs tokens where none is configured. It is made on the first start and kept in the data directory,
 * readable by its owner alone. Not for production, where the configuration must name a key.
 *
 * Throws a `ConfigError` when the file holds no such secret, and a `DataDirectoryError` when the directory cannot be used.
 */
export function developmentSecret(dataDir: string): string {
  const path = secretPath(dataDir);
  if (!existsSync(path)) {
    makeDataDirectory(dataDir);
    createOnce(path, dataDir);
  }
  return readSecret(dataDir);
}

function secretPath(dataDir: string): string {
  return join(dataDir, "jwt-secret");
}

function readSecret(dataDir: string): string {
  const path = secretPath(dataDir);
  if (!existsSync(path))
    throw new ConfigError(
      `There is no signing key in ${path}: start the service there first, or set DATA_DIR or JWT_SECRET as it has them`,
    );
  const secret = readFileSync(path, "utf8");
  if (Buffer.byteLength(secret) < secretBytes)
    throw new ConfigError(
      `The key in ${path} is damaged: delete the file, and tokens that it signed become invalid`,
    );
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
