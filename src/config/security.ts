import { httpUrl, kind, onOrOff, secret, text, trimmed, type Values, wholeNumber } from "./variables.ts";

/** Which tokens are accepted, and what signs them. */
export interface TokenConfig {
  readonly secret: string | undefined;
  readonly jwksUrl: URL | undefined;
  /** How long the last good key set is used during an outage of the key server. */
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

/** The PEM files by which both listeners speak TLS. */
export interface TlsConfig {
  readonly certFile: string;
  readonly keyFile: string;
  /** The authorities that sign clients' certificates. When set, the internal listener demands such a certificate. */
  readonly clientCaFile: string | undefined;
}

/** The origins of web pages whose scripts may use the public port; `*` for all. */
export type CorsOrigins = readonly string[] | "*";

const minSecretBytes = 32;
/** Ten minutes to a week: a shorter time would end with a short outage of the key server. */
const maxStale = wholeNumber("seconds", 600, 604_800);
const developmentIssuer = "privacy-control";

export const tokenVariables = {
  JWT_SECRET: secret(minSecretBytes)(),
  JWKS_URL: httpUrl(),
  JWKS_MAX_STALE_SECONDS: maxStale(86_400),
  JWT_ISSUER: trimmed(),
  JWT_AUDIENCE: trimmed("privacy-control"),
  JWT_SERVICE_AUDIENCE: trimmed("privacy-control-internal"),
  JWT_USER_CLAIM: trimmed("sub"),
  JWT_SCOPE_CLAIM: trimmed("scope"),
  JWT_CLOCK_TOLERANCE_SECONDS: wholeNumber("seconds", 0, 120)(30),
};

export function tokenConfig(env: Values<typeof tokenVariables>): TokenConfig {
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
export function tokenProblems(env: Values<typeof tokenVariables>, production: boolean): string[] {
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

export const tlsVariables = {
  TLS_CERT_FILE: text(),
  TLS_KEY_FILE: text(),
  TLS_CLIENT_CA_FILE: text(),
  ALLOW_PLAINTEXT: onOrOff("off"),
};

type TlsEnvironment = Values<typeof tlsVariables>;

/** The files, undefined for plaintext. */
export function tlsConfig(env: TlsEnvironment): TlsConfig | undefined {
  const { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile, TLS_CLIENT_CA_FILE: clientCaFile } = env;
  if (certFile === undefined || keyFile === undefined) return undefined;
  return Object.freeze({ certFile, keyFile, clientCaFile });
}

/** What is wrong with variables that are well-formed one by one. */
export function tlsProblems(env: TlsEnvironment & { readonly HOST: string }, production: boolean): string[] {
  const { TLS_CERT_FILE, TLS_KEY_FILE, TLS_CLIENT_CA_FILE } = env;
  const wantsTls = [TLS_CERT_FILE, TLS_KEY_FILE, TLS_CLIENT_CA_FILE].some((file) => file !== undefined);
  const problems: string[] = [];
  if (wantsTls && TLS_CERT_FILE === undefined)
    problems.push("TLS_CERT_FILE is missing: TLS needs a certificate and its key");
  if (wantsTls && TLS_KEY_FILE === undefined)
    problems.push("TLS_KEY_FILE is missing: TLS needs a certificate and its key");
  // A malformed HOST or ALLOW_PLAINTEXT is undefined here, and reported already.
  const isOpen = production && env.HOST !== undefined && !isLoopback(env.HOST);
  if (isOpen && !wantsTls && env.ALLOW_PLAINTEXT === "off")
    problems.push(
      "HOST is not the loopback interface: in production TLS_CERT_FILE and TLS_KEY_FILE must be set, " +
        "or ALLOW_PLAINTEXT=on where something else encrypts",
    );
  return problems;
}

/** Whether only this machine can reach a host (RFC 1122, RFC 4291, RFC 6761). */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * Exact origins as browsers send them (RFC 6454, 6.2): a path, a trailing slash or an upper-case letter is an error.
 * Apps that show web pages of their own have schemes of their own: `capacitor://localhost`, `app://name`.
 */
const origins = kind<CorsOrigins>(
  "`*`, or origins (https://app.example, capacitor://localhost) between commas",
  (value) => {
    if (value === "*") return value;
    const list = value.split(",").map((item) => item.trim());
    return list.every(isOrigin) ? list : undefined;
  },
  String,
);

export const corsVariables = { CORS_ORIGINS: origins([]) };

function isOrigin(value: string): boolean {
  const origin = URL.parse(value)?.origin;
  if (/^https?:/.test(value)) return !value.includes("*") && origin === value;
  // URLs know no origins of schemes that are an app's own.
  return (
    origin === "null" &&
    !value.startsWith("file:") &&
    /^[a-z][a-z\d+.-]*:\/\/[a-z\d._-]+(?::\d{1,5})?$/.test(value)
  );
}
