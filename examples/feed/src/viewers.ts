import { createRemoteJWKSet, errors, jwtVerify } from "jose";

/** How tokens are verified: as Privacy Control verifies those of users. */
export interface TokenRules {
  /** Where the public keys of the issuer are; undefined when a secret signs. */
  readonly jwksUrl: string | undefined;
  readonly secret: string | undefined;
  readonly issuer: string;
  readonly audience: string;
}

/** There is a token, but not one that names a user. */
export class InvalidTokenError extends Error {
  override readonly name = "InvalidTokenError";
}

/** The keys that verify tokens cannot be had at present. */
export class KeysUnavailableError extends Error {
  override readonly name = "KeysUnavailableError";
}

/** Codes of errors that are not about the token. */
const aboutKeys = new Set([
  "ERR_JOSE_GENERIC",
  "ERR_JWKS_TIMEOUT",
  "ERR_JWKS_INVALID",
  "ERR_JWK_INVALID",
  "ERR_JWKS_MULTIPLE_MATCHING_KEYS",
]);
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Returns the function that reads the user of a request from its header `Authorization`; null without a token. */
export function viewersOf({
  jwksUrl,
  secret,
  issuer,
  audience,
}: TokenRules): (authorization: string | undefined) => Promise<string | null> {
  const options = { issuer, audience, requiredClaims: ["exp", "sub"] };
  const published = jwksUrl === undefined ? undefined : createRemoteJWKSet(new URL(jwksUrl));
  const key = new TextEncoder().encode(secret);
  const verify = (token: string) =>
    published === undefined
      ? jwtVerify(token, key, { ...options, algorithms: ["HS256"] })
      : jwtVerify(token, published, { ...options, algorithms: ["RS256", "PS256", "ES256", "EdDSA"] });

  return async (authorization) => {
    if (authorization === undefined) return null;
    const [, token] = /^Bearer +(\S+)$/i.exec(authorization) ?? [];
    if (token === undefined) throw new InvalidTokenError("the header has no bearer token");
    let user: string;
    try {
      const { payload } = await verify(token);
      user = String(payload.sub).toLowerCase();
    } catch (failure) {
      if (!(failure instanceof errors.JOSEError) || aboutKeys.has(failure.code))
        throw new KeysUnavailableError("the keys cannot be had", { cause: failure });
      throw new InvalidTokenError("the token is not valid", { cause: failure });
    }
    if (!uuid.test(user)) throw new InvalidTokenError("the token names no user");
    return user;
  };
}
