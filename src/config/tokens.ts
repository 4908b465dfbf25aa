import { checked, hidden, httpUrl, text } from "./validators.ts";

/** Which tokens are good, and what signs them. */
export interface TokenConfig {
  readonly secret: string | undefined;
  readonly jwksUrl: URL | undefined;
  readonly issuer: string;
  readonly audience: string;
  readonly serviceAudience: string;
}

const minSecretBytes = 32;
const developmentIssuer = "privacy-control";

const secret = checked(
  `at least ${minSecretBytes} bytes`,
  (value) => (Buffer.byteLength(value) >= minSecretBytes ? value : undefined),
  hidden,
);

export const tokenVariables = {
  JWT_SECRET: secret({ default: undefined }),
  JWKS_URL: httpUrl({ default: undefined }),
  JWT_ISSUER: text({ default: undefined }),
  JWT_AUDIENCE: text({ default: "privacy-control" }),
  JWT_SERVICE_AUDIENCE: text({ default: "privacy-control-internal" }),
};

interface TokenEnvironment {
  readonly JWT_SECRET: string | undefined;
  readonly JWKS_URL: URL | undefined;
  readonly JWT_ISSUER: string | undefined;
  readonly JWT_AUDIENCE: string;
  readonly JWT_SERVICE_AUDIENCE: string;
}

export function tokenConfig(env: TokenEnvironment): TokenConfig {
  return Object.freeze({
    secret: env.JWT_SECRET,
    jwksUrl: env.JWKS_URL,
    issuer: env.JWT_ISSUER ?? developmentIssuer,
    audience: env.JWT_AUDIENCE,
    serviceAudience: env.JWT_SERVICE_AUDIENCE,
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
  if (env.JWT_AUDIENCE === env.JWT_SERVICE_AUDIENCE)
    problems.push(
      "JWT_AUDIENCE and JWT_SERVICE_AUDIENCE must differ: a user's token must never pass for a service's",
    );
  return problems;
}
