import { checked, hidden, httpUrl, trimmed, wholeNumber } from "./validators.ts";

/** Which tokens are good, and what signs them. */
export interface TokenConfig {
  readonly secret: string | undefined;
  readonly jwksUrl: URL | undefined;
  /** For how long the last good key set is used during an outage of the key server. */
  readonly jwksMaxStaleMs: number;
  readonly issuer: string;
  readonly audience: string;
  readonly serviceAudience: string;
  /** The claim of users' tokens that holds the user's id. */
  readonly userClaim: string;
  /** The claim of services' tokens that holds the scopes. */
  readonly scopeClaim: string;
  /** How far the clocks of this service and of the issuer may be apart. */
  readonly clockToleranceSeconds: number;
}

const minSecretBytes = 32;
/** Ten minutes to a week: a shorter time would end with a short outage of the key server. */
const maxStale = wholeNumber("seconds", 600, 604_800);
const developmentIssuer = "privacy-control";

const secret = checked(
  `at least ${minSecretBytes} bytes, without white space at its ends`,
  (value) => (value === value.trim() && Buffer.byteLength(value) >= minSecretBytes ? value : undefined),
  hidden,
);

export const tokenVariables = {
  JWT_SECRET: secret({ default: undefined }),
  JWKS_URL: httpUrl({ default: undefined }),
  JWKS_MAX_STALE_SECONDS: maxStale({ default: 86_400 }),
  JWT_ISSUER: trimmed({ default: undefined }),
  JWT_AUDIENCE: trimmed({ default: "privacy-control" }),
  JWT_SERVICE_AUDIENCE: trimmed({ default: "privacy-control-internal" }),
  JWT_USER_CLAIM: trimmed({ default: "sub" }),
  JWT_SCOPE_CLAIM: trimmed({ default: "scope" }),
  JWT_CLOCK_TOLERANCE_SECONDS: wholeNumber("seconds", 0, 120)({ default: 30 }),
};

interface TokenEnvironment {
  readonly JWT_SECRET: string | undefined;
  readonly JWKS_URL: URL | undefined;
  readonly JWKS_MAX_STALE_SECONDS: number;
  readonly JWT_ISSUER: string | undefined;
  readonly JWT_AUDIENCE: string;
  readonly JWT_SERVICE_AUDIENCE: string;
  readonly JWT_USER_CLAIM: string;
  readonly JWT_SCOPE_CLAIM: string;
  readonly JWT_CLOCK_TOLERANCE_SECONDS: number;
}

export function tokenConfig(env: TokenEnvironment): TokenConfig {
  return Object.freeze({
    secret: env.JWT_SECRET,
    jwksUrl: env.JWKS_URL,
    jwksMaxStaleMs: env.JWKS_MAX_STALE_SECONDS * 1_000,
    issuer: env.JWT_ISSUER ?? developmentIssuer,
    audience: env.JWT_AUDIENCE,
    serviceAudience: env.JWT_SERVICE_AUDIENCE,
    userClaim: env.JWT_USER_CLAIM,
    scopeClaim: env.JWT_SCOPE_CLAIM,
    clockToleranceSeconds: env.JWT_CLOCK_TOLERANCE_SECONDS,
  });
}

/** What is wrong with variables that are well-formed one by one. */
export function tokenProblems(env: TokenEnvironment, production: boolean): string[] {
  const problems: string[] = [];
  if (production && env.JWT_SECRET === undefined && env.JWKS_URL === undefined)
    problems.push("JWT_SECRET or JWKS_URL is missing: in production tokens need a configured key");
  if (production && env.JWT_ISSUER === undefined)
    problems.push("JWT_ISSUER is missing: in production it must name who signs tokens");
  if (env.JWT_SECRET !== undefined && env.JWKS_URL !== undefined)
    problems.push("JWT_SECRET and JWKS_URL exclude each other");
  // No request can be made to such a URL, and the failure would name the password in the log.
  if (env.JWKS_URL !== undefined && env.JWKS_URL.username + env.JWKS_URL.password !== "")
    problems.push("JWKS_URL must have no user name and no password");
  if (env.JWT_AUDIENCE === env.JWT_SERVICE_AUDIENCE)
    problems.push(
      "JWT_AUDIENCE and JWT_SERVICE_AUDIENCE must differ: a user's token must never pass for a service's",
    );
  return problems;
}
