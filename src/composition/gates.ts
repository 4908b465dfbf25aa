import type { Logger } from "pino";
import { type Authenticator, authenticateService, authenticateUser } from "../call/auth/authenticator.ts";
import { type RemoteKeys, remoteKeys } from "../call/auth/token-keys.ts";
import { type TokenKeys, tokenVerifier } from "../call/auth/tokens.ts";
import { callerSlots, type TakeSlots } from "../call/caller-slots.ts";
import { callerLimits } from "../call/rate-limits/caller-limits.ts";
import { clientAddress } from "../call/rate-limits/client-address.ts";
import { limitedGate } from "../call/rate-limits/rate-limited-authenticator.ts";
import type { Config } from "../config/config.ts";

/**
 * How long a user who goes beyond a limit waits to hear so. Without it, refusing one user who calls again at each
 * answer takes all of the time of the process. A service is told at once: its connections carry other users' calls.
 */
const refusalHoldMs = 500;

/** How long a call waits when its caller has too many calls in flight, in milliseconds. */
const slotWaitMs = 500;

interface GatesOptions {
  readonly log: Logger;
  /** The secret that stands in for a configured key, in development. */
  readonly developmentSecret: string | undefined;
  /** Called at once, and whenever the keys of a key server become available or unavailable. */
  readonly onKeys: (available: boolean) => void;
}

/** What lets calls in: users on the public listener, services on the internal one. */
interface Gates {
  readonly users: Authenticator;
  readonly services: Authenticator;
  /** Bounds the calls in flight of each caller, on both listeners together. */
  readonly takeSlots: TakeSlots;
  /** Whether there are keys to verify tokens with: without, no call can be admitted. */
  keysAvailable(): boolean;
  /** Stops fetching keys. */
  close(): void;
}

/** Makes the gates, with the limits of callers, which hold for both together. */
export function makeGates(config: Config, options: GatesOptions): Gates {
  const { log } = options;
  const { audience, serviceAudience, userClaim } = config.jwt;
  const remote = remoteKeysOf(config, options);
  const keys: TokenKeys =
    remote === undefined ? sharedSecret(config, options) : { kind: "published", keys: remote };
  const limits = callerLimits(config.rates);
  const addressOf = clientAddress(config.rates.trustedProxies, () =>
    log.warn(
      "TRUSTED_PROXIES does not name a peer that sends X-Forwarded-For: all behind it share one limit",
    ),
  );
  const limited = (gate: Authenticator, holdMs: number) =>
    limitedGate(gate, { ...limits, addressOf, holdMs });
  const verifier = (own: string, other: string, subjectClaim: string) =>
    tokenVerifier(keys, { ...config.jwt, audience: own, otherAudience: other, subjectClaim });
  return {
    users: limited(authenticateUser(verifier(audience, serviceAudience, userClaim)), refusalHoldMs),
    services: limited(authenticateService(verifier(serviceAudience, audience, "sub")), 0),
    takeSlots: callerSlots(config.maxInFlight, slotWaitMs),
    keysAvailable: () => remote?.available() ?? true,
    close: () => remote?.[Symbol.dispose](),
  };
}

function remoteKeysOf({ jwt }: Config, { log, onKeys }: GatesOptions): RemoteKeys | undefined {
  if (jwt.jwksUrl === undefined) return undefined;
  return remoteKeys(jwt.jwksUrl, { maxStaleMs: jwt.jwksMaxStaleMs, log, onAvailable: onKeys });
}

function sharedSecret({ jwt }: Config, { developmentSecret }: GatesOptions): TokenKeys {
  const secret = jwt.secret ?? developmentSecret;
  if (secret === undefined) throw new Error("no key to verify tokens with");
  return { kind: "secret", secret: new TextEncoder().encode(secret) };
}
