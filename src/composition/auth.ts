import type { Logger } from "pino";
import { type Authenticator, serviceAuthenticator, userAuthenticator } from "../call/auth/authenticator.ts";
import { RemoteJwks } from "../call/auth/remote-jwks.ts";
import { type TokenKeys, tokenVerifier } from "../call/auth/tokens.ts";
import { callerSlots, type TakeSlots } from "../call/caller-slots.ts";
import { clientAddress } from "../call/rate-limits/client-address.ts";
import { callerLimits, RateLimits } from "../call/rate-limits/rate-limits.ts";
import type { Config } from "../config/config.ts";

/**
 * How long the rejection of a user's call beyond a limit is delayed, in milliseconds. Without a delay, a user's client
 * that calls again at each answer takes all of the process's time. A service's rejections are not delayed: its
 * connections carry the calls of other users.
 */
const rejectionDelayMs = 500;

/** How long a call waits when its caller has too many calls in flight, in milliseconds. */
const slotWaitMs = 500;

/** The steps of the call pipeline that differ between users and services. */
interface CallerSteps {
  readonly authenticate: Authenticator;
  readonly rateLimits: RateLimits;
}

interface AuthOptions {
  readonly log: Logger;
  /** The secret that replaces a configured key in development. */
  readonly developmentSecret: string | undefined;
  /** Called at once, and whenever the keys of a key server become available or unavailable. */
  readonly onKeys: (available: boolean) => void;
}

/** The callers of the two listeners: users on the public one, services on the internal one. */
interface Auth {
  readonly users: CallerSteps;
  readonly services: CallerSteps;
  /** Bounds the calls in flight of each caller, on both listeners together. */
  readonly takeSlots: TakeSlots;
  /** Whether there are keys to verify tokens with: without, no call can be admitted. */
  keysAvailable(): boolean;
  /** Stops fetching keys. */
  close(): void;
}

/** Makes the steps that authenticate and limit callers. The limits hold for both listeners together. */
export function createAuth(config: Config, options: AuthOptions): Auth {
  const { log } = options;
  const { audience, serviceAudience, userClaim } = config.jwt;
  const remote = remoteJwks(config, options);
  const keys: TokenKeys =
    remote === undefined ? sharedSecret(config, options) : { kind: "published", keys: remote };
  const limits = callerLimits(config.rates);
  const addressOf = clientAddress(config.rates.trustedProxies, () =>
    log.warn(
      "TRUSTED_PROXIES does not name a peer that sends X-Forwarded-For: all behind it share one limit",
    ),
  );
  const verifier = (own: string, other: string, subjectClaim: string) =>
    tokenVerifier(keys, { ...config.jwt, audience: own, otherAudience: other, subjectClaim });
  return {
    users: {
      authenticate: userAuthenticator(verifier(audience, serviceAudience, userClaim)),
      rateLimits: new RateLimits({ ...limits, addressOf, delayMs: rejectionDelayMs }),
    },
    services: {
      authenticate: serviceAuthenticator(verifier(serviceAudience, audience, "sub")),
      rateLimits: new RateLimits({ ...limits, addressOf }),
    },
    takeSlots: callerSlots(config.maxInFlight, slotWaitMs),
    keysAvailable: () => remote?.available() ?? true,
    close: () => remote?.[Symbol.dispose](),
  };
}

function remoteJwks({ jwt }: Config, { log, onKeys }: AuthOptions): RemoteJwks | undefined {
  if (jwt.jwksUrl === undefined) return undefined;
  return new RemoteJwks(jwt.jwksUrl, { maxStaleMs: jwt.jwksMaxStaleMs, log, onAvailable: onKeys });
}

function sharedSecret({ jwt }: Config, { developmentSecret }: AuthOptions): TokenKeys {
  const secret = jwt.secret ?? developmentSecret;
  if (secret === undefined) throw new Error("no key to verify tokens with");
  return { kind: "secret", secret: new TextEncoder().encode(secret) };
}
