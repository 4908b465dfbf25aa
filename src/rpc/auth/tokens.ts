import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from "jose";
import { PrivacyError } from "../../domain/errors.ts";

/** How tokens are signed: a shared secret, or keys that a server publishes. */
export type TokenKeys =
  | { readonly kind: "secret"; readonly secret: Uint8Array }
  | { readonly kind: "published"; readonly getKey: JWTVerifyGetKey };

/** The claims that a token must have. */
export interface TokenRules {
  readonly issuer: string;
  /** The audience that is accepted. */
  readonly audience: string;
  /** The audience of the other listener: a token for both is accepted by neither. */
  readonly otherAudience: string;
}

/** Returns the claims of the token in an `Authorization` header, or throws a `PrivacyError`. */
export type VerifyToken = (authorization: string | null) => Promise<JWTPayload & { sub: string }>;

const secretAlgorithms = ["HS256"];
const publishedAlgorithms = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
];
const compactJws = /^[\w-]+\.[\w-]+\.[\w-]*$/;

/** Builds the check of the tokens of one listener. `exp` and `sub` are required; the clock gets no tolerance. */
export function tokenVerifier(keys: TokenKeys, rules: TokenRules): VerifyToken {
  const options = {
    issuer: rules.issuer,
    audience: rules.audience,
    requiredClaims: ["exp", "sub"],
    algorithms: keys.kind === "secret" ? secretAlgorithms : publishedAlgorithms,
  };
  return async (authorization) => {
    const token = tokenOf(authorization);
    try {
      const { payload } =
        keys.kind === "secret"
          ? await jwtVerify(token, keys.secret, options)
          : await jwtVerify(token, keys.getKey, options);
      return acceptable(payload, rules.otherAudience);
    } catch (failure) {
      throw refusal(failure);
    }
  };
}

/** Takes the token out of the header: after `Bearer `, or bare, as the settings document shows it. */
function tokenOf(authorization: string | null): string {
  const token = (authorization ?? "").replace(/^bearer(?: +|$)/i, "").trim();
  if (token === "") throw new PrivacyError("TOKEN_REQUIRED");
  if (!compactJws.test(token)) throw new PrivacyError("TOKEN_MALFORMED");
  return token;
}

function acceptable(payload: JWTPayload, otherAudience: string): JWTPayload & { sub: string } {
  const { sub, aud } = payload;
  if (typeof sub !== "string" || sub === "") throw new PrivacyError("TOKEN_INVALID");
  if (Array.isArray(aud) && aud.includes(otherAudience)) throw new PrivacyError("TOKEN_INVALID");
  return { ...payload, sub };
}

function refusal(failure: unknown): unknown {
  if (failure instanceof PrivacyError) return failure;
  if (failure instanceof errors.JWTExpired) return new PrivacyError("TOKEN_EXPIRED");
  if (failure instanceof errors.JWSInvalid) return new PrivacyError("TOKEN_MALFORMED");
  if (failure instanceof errors.JOSEError) return new PrivacyError("TOKEN_INVALID");
  // WebCrypto refuses some keys and signatures with plain errors of its own: the token is no good either way.
  return new PrivacyError("TOKEN_INVALID", { cause: failure });
}
