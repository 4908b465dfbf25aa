import { errors, type JWSHeaderParameters, type JWTPayload, type JWTVerifyOptions, jwtVerify } from "jose";
import { type Candidates, publishedAlgorithms } from "./key-set.ts";
import { refusalOf, TokenRefused } from "./refused-token.ts";
import { TokenCache } from "./token-cache.ts";
import type { PublishedKeys } from "./token-keys.ts";

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

const secretAlgorithms = ["HS256"];
const compactJws = /^[\w-]+\.[\w-]+\.[\w-]*$/;

/**
 * Builds the check of the tokens of one listener. `exp` and the claim that names the caller are required.
 *
 * A good token is remembered until it expires or the published keys change, whichever comes first: a key that was
 * withdrawn is of no more use than without that.
 */
export function tokenVerifier(
  keys: TokenKeys,
  rules: TokenRules,
  { now = Date.now, remembered = new TokenCache<Claims>() } = {},
): VerifyToken {
  const options = {
    issuer: rules.issuer,
    audience: rules.audience,
    requiredClaims: ["exp", rules.subjectClaim],
    clockTolerance: rules.clockToleranceSeconds,
    algorithms: keys.kind === "secret" ? secretAlgorithms : publishedAlgorithms,
  };
  const { version, isCurrent } = keys.kind === "secret" ? unchangingSecret : keys.keys;
  const verify = async (token: string): Promise<Claims> => {
    // Read before the verification, during which the keys may be replaced.
    const usedVersion = version();
    try {
      const current = { ...options, currentDate: new Date(now()) };
      const payload =
        keys.kind === "secret"
          ? (await jwtVerify(token, keys.secret, current)).payload
          : await verifyPublished(token, keys.keys, current);
      const claims = claimsOf(payload, rules);
      const expiresAt = ((payload.exp ?? 0) + rules.clockToleranceSeconds) * 1_000;
      remembered.add(token, { claims, expiresAt, version: usedVersion });
      return claims;
    } catch (failure) {
      throw refusalOf(failure);
    }
  };
  return (authorization) => {
    const token = tokenOf(authorization);
    return remembered.find(token, now(), isCurrent) ?? verify(token);
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
  if (token === "") throw new TokenRefused("TOKEN_REQUIRED", "missing");
  if (!compactJws.test(token)) throw new TokenRefused("TOKEN_MALFORMED", "malformed");
  return token;
}

function claimsOf(payload: JWTPayload, rules: TokenRules): Claims {
  const subject = payload[rules.subjectClaim];
  if (typeof subject !== "string" || subject === "") throw new TokenRefused("TOKEN_INVALID", "claim");
  if (Array.isArray(payload.aud) && payload.aud.includes(rules.otherAudience))
    throw new TokenRefused("TOKEN_INVALID", "audience");
  return { subject, scopes: scopesOf(payload[rules.scopeClaim]) };
}

/** The scopes of a claim; one that is neither a text nor an array of texts gives none. */
function scopesOf(claim: unknown): ReadonlySet<string> {
  if (typeof claim === "string") return new Set(claim.split(" "));
  const isList = Array.isArray(claim) && claim.every((item) => typeof item === "string");
  return new Set(isList ? claim : []);
}
