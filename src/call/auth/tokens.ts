import { createContextKey } from "@connectrpc/connect";
import { errors, type JWSHeaderParameters, type JWTPayload, type JWTVerifyOptions, jwtVerify } from "jose";
import { LRUCache } from "lru-cache";
import { type ErrorReason, PrivacyError } from "../../domain/errors.ts";
import { type Candidates, publishedAlgorithms } from "./key-set.ts";
import type { PublishedKeys } from "./remote-jwks.ts";

/** What is wrong with a token, for the log: never a part of the token. */
export type TokenFlaw =
  | "missing"
  | "malformed"
  | "header"
  | "algorithm"
  | "key"
  | "signature"
  | "issuer"
  | "audience"
  | "expired"
  | "not yet valid"
  | "claim"
  | "user";

/** Set on every call whose token was not accepted. */
export const tokenFlawKey = createContextKey<TokenFlaw | undefined>(undefined, { description: "token flaw" });

/** A token that is not accepted. */
export class InvalidTokenError extends PrivacyError {
  readonly flaw: TokenFlaw;

  constructor(
    reason: Extract<ErrorReason, `TOKEN_${string}`>,
    flaw: TokenFlaw,
    options?: { readonly cause: unknown },
  ) {
    super(reason, options);
    this.flaw = flaw;
  }
}

const claimFlaws: Readonly<Record<string, TokenFlaw>> = { iss: "issuer", aud: "audience" };

/** The error of a token whose verification failed. A failure of the service, such as `UNAVAILABLE`, stays as it is. */
function tokenError(failure: unknown): unknown {
  if (failure instanceof PrivacyError) return failure;
  if (failure instanceof errors.JWTExpired) return new InvalidTokenError("TOKEN_EXPIRED", "expired");
  if (failure instanceof errors.JWSInvalid) return new InvalidTokenError("TOKEN_MALFORMED", "malformed");
  // WebCrypto refuses some signatures with plain errors of its own.
  if (!(failure instanceof errors.JOSEError))
    return new InvalidTokenError("TOKEN_INVALID", "signature", { cause: failure });
  return new InvalidTokenError("TOKEN_INVALID", flawOf(failure));
}

function flawOf(failure: errors.JOSEError): TokenFlaw {
  if (failure instanceof errors.JWSSignatureVerificationFailed) return "signature";
  if (failure instanceof errors.JWKSNoMatchingKey) return "key";
  if (failure instanceof errors.JOSEAlgNotAllowed) return "algorithm";
  if (failure instanceof errors.JWTInvalid) return "malformed";
  if (!(failure instanceof errors.JWTClaimValidationFailed)) return "header";
  const { claim, reason } = failure;
  if (claim === "nbf" && reason === "check_failed") return "not yet valid";
  return claimFlaws[claim] ?? "claim";
}

/** How tokens are signed: a shared secret, or keys that a server publishes. */
export type TokenKeys =
  | { readonly kind: "secret"; readonly secret: Uint8Array }
  | { readonly kind: "published"; readonly keys: PublishedKeys };

/** The claims that a token must have. */
export interface TokenRules {
  readonly issuer: string;
  /** The audience that is accepted. */
  readonly audience: string;
  /** The audience of the other listener: a token for both is accepted by neither. */
  readonly otherAudience: string;
  /** The claim that names the caller: a text that is not empty. */
  readonly subjectClaim: string;
  /** The claim that lists the scopes: in a text between spaces, or in an array of texts. */
  readonly scopeClaim: string;
  /** How far the clocks of this service and of the issuer may be apart. */
  readonly clockToleranceSeconds: number;
}

/** Returns the claims of the token in an `Authorization` header, at once when it is known; or throws a `PrivacyError`. */
export type VerifyToken = (authorization: string | null) => Claims | Promise<Claims>;

/** What a token says of the caller. */
export interface Claims {
  readonly subject: string;
  readonly scopes: ReadonlySet<string>;
}

/** A token that was verified before. */
interface VerifiedToken {
  readonly claims: Claims;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** The version of the key set that verified the token. */
  readonly version: number;
}

/** The most tokens that are cached; those that were not used for longest go first. */
const maxCachedTokens = 10_000;
/** Longer tokens are verified each time: together with the limit above this bounds the memory. */
const maxCachedLength = 2_048;

const secretAlgorithms = ["HS256"];
const compactJws = /^[\w-]+\.[\w-]+\.[\w-]*$/;

/**
 * Builds the check of the tokens of one listener. `exp` and the claim that names the caller are required.
 *
 * A good token is cached until it expires or the published keys change, whichever comes first: a key that was withdrawn
 * is of no more use than without the cache. It is found by its whole text, signature included.
 */
export function tokenVerifier(
  keys: TokenKeys,
  rules: TokenRules,
  { now = Date.now, maxCached = maxCachedTokens } = {},
): VerifyToken {
  const verified = new LRUCache<string, VerifiedToken>({ max: maxCached });
  const options = {
    issuer: rules.issuer,
    audience: rules.audience,
    requiredClaims: ["exp", rules.subjectClaim],
    clockTolerance: rules.clockToleranceSeconds,
    algorithms: keys.kind === "secret" ? secretAlgorithms : publishedAlgorithms,
  };
  const keySet = keys.kind === "secret" ? unchangingSecret : keys.keys;
  const verify = async (token: string): Promise<Claims> => {
    // Read before the verification, during which the keys may be replaced.
    const version = keySet.version();
    try {
      const current = { ...options, currentDate: new Date(now()) };
      const payload =
        keys.kind === "secret"
          ? (await jwtVerify(token, keys.secret, current)).payload
          : await verifyPublished(token, keys.keys, current);
      const claims = claimsOf(payload, rules);
      const expiresAt = ((payload.exp ?? 0) + rules.clockToleranceSeconds) * 1_000;
      if (token.length <= maxCachedLength) verified.set(token, { claims, expiresAt, version });
      return claims;
    } catch (failure) {
      throw tokenError(failure);
    }
  };
  return (authorization) => {
    const token = tokenOf(authorization);
    const cached = verified.get(token);
    const isValid = cached !== undefined && now() < cached.expiresAt && keySet.isCurrent(cached.version);
    return isValid ? cached.claims : verify(token);
  };
}

const unchangingSecret = { version: () => 0, isCurrent: () => true };

/**
 * Verifies a token by each key that may have signed it. When none did and the token names no key, the key server is asked
 * once for a newer set.
 */
async function verifyPublished(
  token: string,
  keys: PublishedKeys,
  options: JWTVerifyOptions,
): Promise<JWTPayload> {
  for (let round = 0; ; round++) {
    const usedVersion = keys.version();
    let candidates: Candidates = { keys: [], named: false };
    // Called after the form of the token and its algorithm were checked.
    const findKey = async (header: JWSHeaderParameters) => {
      candidates = await keys.candidates(header);
      return candidates.keys[0] as CryptoKey;
    };
    let failure: unknown;
    try {
      return (await jwtVerify(token, findKey, options)).payload;
    } catch (reason) {
      failure = reason;
    }
    for (const key of candidates.keys.slice(1)) {
      if (!isAboutKey(failure)) break;
      try {
        return (await jwtVerify(token, key, options)).payload;
      } catch (reason) {
        failure = reason;
      }
    }
    const mayHaveNewKey = candidates.keys.length > 0 && !candidates.named && isAboutKey(failure);
    if (round > 0 || !mayHaveNewKey || !(await keys.renew(usedVersion))) throw failure;
  }
}

/** Whether another key may verify the token: WebCrypto refuses some signatures with plain errors of its own. */
function isAboutKey(failure: unknown): boolean {
  return failure instanceof errors.JWSSignatureVerificationFailed || !(failure instanceof errors.JOSEError);
}

/** Takes the token out of the header: after `Bearer `, or bare, as the settings document shows it. */
function tokenOf(authorization: string | null): string {
  const token = (authorization ?? "").replace(/^bearer(?: +|$)/i, "").trim();
  if (token === "") throw new InvalidTokenError("TOKEN_REQUIRED", "missing");
  if (!compactJws.test(token)) throw new InvalidTokenError("TOKEN_MALFORMED", "malformed");
  return token;
}

function claimsOf(payload: JWTPayload, rules: TokenRules): Claims {
  const subject = payload[rules.subjectClaim];
  if (typeof subject !== "string" || subject === "") throw new InvalidTokenError("TOKEN_INVALID", "claim");
  if (Array.isArray(payload.aud) && payload.aud.includes(rules.otherAudience))
    throw new InvalidTokenError("TOKEN_INVALID", "audience");
  return { subject, scopes: scopesOf(payload[rules.scopeClaim]) };
}

/** The scopes of a claim; one that is neither a text nor an array of texts gives none. */
function scopesOf(claim: unknown): ReadonlySet<string> {
  if (typeof claim === "string") return new Set(claim.split(" "));
  const isList = Array.isArray(claim) && claim.every((item) => typeof item === "string");
  return new Set(isList ? claim : []);
}
