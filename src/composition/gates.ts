import type { Logger } from "pino";
import type { Config } from "../config.ts";
import { type Gate, serviceGate, userGate } from "../rpc/auth/gate.ts";
import { remoteKeys } from "../rpc/auth/token-keys.ts";
import { type TokenKeys, tokenVerifier } from "../rpc/auth/tokens.ts";
import { callerLimits } from "../rpc/limits/caller-limits.ts";
import { clientAddress } from "../rpc/limits/client-address.ts";
import { limitedGate } from "../rpc/limits/limited-gate.ts";
import { shareDebts } from "../rpc/limits/share-debts.ts";
import type { Database } from "../store/database.ts";

/**
 * How long a user who goes beyond a limit waits to hear so. Without it, refusing one user who calls again at each
 * answer takes all of the time of the process. A service is told at once: its connections carry other users' calls.
 */
const refusalHoldMs = 500;

interface GatesOptions {
  readonly database: Database;
  readonly log: Logger;
  /** The secret that stands in for a configured key, in development. */
  readonly developmentSecret: string | undefined;
}

/** What lets calls in: users on the public listener, services on the internal one. */
interface Gates {
  readonly users: Gate;
  readonly services: Gate;
  /** Tells other instances no more of what callers took. */
  stopSharing(): Promise<void>;
}

/** Makes the gates, with the limits of callers, which hold for both together. */
export function makeGates(config: Config, { database, log, developmentSecret }: GatesOptions): Gates {
  const { audience, serviceAudience, issuer } = config.jwt;
  const keys = tokenKeys(config, developmentSecret);
  const limits = callerLimits(config.rates);
  const addressOf = clientAddress(config.rates.trustedProxies);
  const limited = (gate: Gate, holdMs: number) => limitedGate(gate, { ...limits, addressOf, holdMs });
  // The embedded database serves one process: there is nobody to share with.
  const sharing = database.kind === "embedded" ? undefined : shareDebts(limits, database.rateDebts, log);
  const verifier = (own: string, other: string) =>
    tokenVerifier(keys, { issuer, audience: own, otherAudience: other });
  return {
    users: limited(userGate(verifier(audience, serviceAudience)), refusalHoldMs),
    services: limited(serviceGate(verifier(serviceAudience, audience)), 0),
    stopSharing: async () => await sharing?.[Symbol.asyncDispose](),
  };
}

function tokenKeys({ jwt }: Config, developmentSecret: string | undefined): TokenKeys {
  if (jwt.jwksUrl !== undefined) return { kind: "published", ...remoteKeys(jwt.jwksUrl) };
  const secret = jwt.secret ?? developmentSecret;
  if (secret === undefined) throw new Error("no key to verify tokens with");
  return { kind: "secret", secret: new TextEncoder().encode(secret) };
}
