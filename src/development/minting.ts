import type { SigningConfig } from "../config/config.ts";
import type { Minting } from "./mint.ts";
import { developmentSecret } from "./signing-secret.ts";

/** How long a token of the start-up text lasts. */
const startTextHours = 24;

/**
 * What signs tokens in development, where no key is configured: makes the secret on the first start. Undefined where
 * a key is configured, and in production.
 */
export function developmentMinting({ production, jwt, database }: SigningConfig): Minting | undefined {
  if (production || jwt.secret !== undefined || jwt.jwksUrl !== undefined) return undefined;
  return { ...jwt, secret: developmentSecret(database.dataDir), hours: startTextHours };
}

/** What signs tokens for the commands of this package; undefined where only others hold the private key. */
export function configuredMinting(config: SigningConfig, hours: number): Minting | undefined {
  const { jwt } = config;
  const minting = jwt.secret === undefined ? developmentMinting(config) : { ...jwt, secret: jwt.secret };
  return minting === undefined ? undefined : { ...minting, hours };
}
