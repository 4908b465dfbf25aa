import { isIPv6 } from "node:net";
import { totalmem } from "node:os";
import { findLikelyTypos, type LikelyTypo } from "./did-you-mean.ts";
import {
  type InFlightConfig,
  inFlightConfig,
  inFlightVariables,
  type RateConfig,
  rateConfig,
  rateVariables,
} from "./limits.ts";
import {
  type CorsOrigins,
  corsVariables,
  type TlsConfig,
  type TokenConfig,
  tlsConfig,
  tlsProblems,
  tlsVariables,
  tokenConfig,
  tokenProblems,
  tokenVariables,
} from "./security.ts";
import { type TracingConfig, tracingConfig, tracingVariables } from "./tracing.ts";
import {
  kind,
  oneOf,
  onOrOff,
  port,
  readVariables,
  shown,
  text,
  throwProblems,
  type Values,
  wholeNumber,
} from "./variables.ts";

/** The configuration of the service. docs/configuration.md describes each variable. */
export interface Config {
  readonly production: boolean;
  readonly host: string;
  readonly httpPort: number;
  /** The path below which clients see the public port, empty for none. */
  readonly publicBasePath: string;
  readonly grpcPort: number;
  /** Where operators read the metrics. */
  readonly admin: { readonly host: string; readonly port: number };
  /** Undefined for plaintext. */
  readonly tls: TlsConfig | undefined;
  /** How long the service goes on after a signal to stop, in milliseconds. */
  readonly drainDelayMs: number;
  /** How long a connection of a client may be idle, in milliseconds. */
  readonly keepAliveMs: number;
  readonly database: DatabaseConfig;
  readonly jwt: TokenConfig;
  readonly corsOrigins: CorsOrigins;
  readonly rates: RateConfig;
  readonly maxInFlight: InFlightConfig;
  /** For how long changes are kept for those who follow them, in hours. */
  readonly changeRetentionHours: number;
  /** The most memory of the relationship graph; 0 when the tables are to decide. */
  readonly graphMemoryBytes: number;
  readonly reflection: boolean;
  readonly logLevel: LogLevel;
  /** Undefined: no traces. */
  readonly tracing: TracingConfig | undefined;
}

/** Where the data is stored: a PostgreSQL database, or the embedded one in the data directory. */
export interface DatabaseConfig {
  /** `postgres://user:password@host:port/name`, with any parameters that `pg` knows. */
  readonly url: string | undefined;
  /** The role to which `npm run migrate` grants what the service needs. */
  readonly serviceRole?: string | undefined;
  /** The directory of the embedded database; `memory://` keeps everything in memory. */
  readonly dataDir: string;
  /** How old a connection may become, by default any age. */
  readonly connectionMaxAgeSeconds?: number | undefined;
  /** Whether statements are prepared on the server, by default true. */
  readonly preparedStatements?: boolean | undefined;
}

const logLevels = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
type LogLevel = (typeof logLevels)[number];

const day = 86_400;
/** In production a balancer must have seen that the service stops before connections are refused. */
const productionDrainDelayMs = 5_000;
/** The longest known idle timeout of a balancer is 600 s (Google Cloud's), and it must close first. */
const keepAliveSeconds = 620;

const megabyte = 2 ** 20;

/** The default of `GRAPH_MEMORY_MB`: a quarter of what a machine has, or of a container's limit, which may be 0 for none. */
export function defaultGraphMegabytes(machineBytes: number, limitBytes: number): number {
  const bytes = limitBytes > 0 ? Math.min(machineBytes, limitBytes) : machineBytes;
  return Math.floor(bytes / 4 / megabyte);
}

const postgresUrl = kind(
  "a postgres:// URL",
  (value) => (/^postgres(ql)?:\/\/\S+$/.test(value) ? value : undefined),
  // Not by `URL`, which cannot have several hosts.
  (url) => {
    const [base = "", query] = url.replace(/#.*$/s, "").split(/\?(.*)/s);
    const masked = base.replace(/^(\w+:\/\/[^:@/]*):.*@/, "$1:***@");
    return query === undefined ? masked : `${masked}?***`;
  },
);

const path = kind(
  "a path such as /privacy, without a slash at its end",
  (value) => (/^(?:\/[\w.~-]+)+$/.test(value) ? value : undefined),
  String,
);

const databaseVariables = {
  DATABASE_URL: postgresUrl(),
  DATABASE_SERVICE_ROLE: text(),
  DATABASE_CONNECTION_MAX_AGE_SECONDS: wholeNumber("seconds", 1, day)(1_800),
  DATABASE_PREPARED_STATEMENTS: onOrOff("on"),
  DATA_DIR: text(".data"),
};

const variables = {
  NODE_ENV: oneOf("production", "development", "test")(),
  HOST: text("127.0.0.1"),
  HTTP_PORT: port(7001),
  PUBLIC_BASE_PATH: path(""),
  GRPC_PORT: port(50051),
  ADMIN_HOST: text("127.0.0.1"),
  ADMIN_PORT: port(9464),
  DRAIN_DELAY_MS: wholeNumber("milliseconds", 0, 600_000)(),
  KEEP_ALIVE_SECONDS: wholeNumber("seconds", 1, day)(keepAliveSeconds),
  CHANGE_RETENTION_HOURS: wholeNumber("hours", 1, 8_760)(72),
  GRAPH_MEMORY_MB: wholeNumber(
    "megabytes",
    0,
    1_000_000,
  )(defaultGraphMegabytes(totalmem(), process.constrainedMemory())),
  REFLECTION: onOrOff("on"),
  LOG_LEVEL: oneOf(...logLevels)("info"),
  ...databaseVariables,
  ...tokenVariables,
  ...tlsVariables,
  ...corsVariables,
  ...rateVariables,
  ...inFlightVariables,
  ...tracingVariables,
};

/** The names of all variables that the service reads. */
export const variableNames: readonly string[] = Object.keys(variables);

/**
 * Reads the configuration. An empty variable counts as unset.
 *
 * Throws a `ConfigError` that names every missing or malformed variable at once.
 */
export function readConfig(environment: NodeJS.ProcessEnv): Config {
  return read(environment).config;
}

/** The effective value of every variable, with secrets masked. Throws a `ConfigError`. */
export function effectiveVariables(environment: NodeJS.ProcessEnv): Record<string, string | null> {
  const { env, config } = read(environment);
  const values: Record<string, unknown> = {
    ...env,
    JWT_ISSUER: config.jwt.issuer,
    DRAIN_DELAY_MS: config.drainDelayMs,
  };
  return Object.fromEntries(
    Object.entries(variables).map(([name, variable]) => [name, shown(variable, values[name])]),
  );
}

/** The names in the environment that are likely to be misspelled variables of the service. */
export function likelyTypos(environment: NodeJS.ProcessEnv): LikelyTypo[] {
  return findLikelyTypos(environment, variableNames);
}

function read(environment: NodeJS.ProcessEnv) {
  const { env, problems } = readVariables(environment, variables);
  const production = env.NODE_ENV === "production";
  problems.push(...tokenProblems(env, production), ...tlsProblems(env, production));
  if (production && env.DATABASE_URL === undefined)
    problems.push("DATABASE_URL is missing: in production it must name a PostgreSQL database");
  const ports = [env.HTTP_PORT, env.GRPC_PORT, env.ADMIN_PORT].filter(Boolean);
  if (new Set(ports).size < ports.length) problems.push("HTTP_PORT, GRPC_PORT and ADMIN_PORT must differ");
  // Ignored, it would leave an operator with less capacity than configured.
  if (!["", "1"].includes(environment.WORKERS ?? ""))
    problems.push("WORKERS is no longer supported: one process is one replica, so run more replicas instead");
  if (problems.length > 0)
    for (const { name, meant } of likelyTypos(environment))
      problems.push(`${name} is unknown: is it ${meant}?`);
  throwProblems(problems);

  const config: Config = Object.freeze({
    production,
    host: env.HOST,
    httpPort: env.HTTP_PORT,
    publicBasePath: env.PUBLIC_BASE_PATH,
    grpcPort: env.GRPC_PORT,
    admin: Object.freeze({ host: env.ADMIN_HOST, port: env.ADMIN_PORT }),
    tls: tlsConfig(env),
    drainDelayMs: env.DRAIN_DELAY_MS ?? (production ? productionDrainDelayMs : 0),
    keepAliveMs: env.KEEP_ALIVE_SECONDS * 1_000,
    database: databaseConfig(env),
    jwt: tokenConfig(env),
    corsOrigins: env.CORS_ORIGINS,
    rates: rateConfig(env),
    maxInFlight: inFlightConfig(env),
    changeRetentionHours: env.CHANGE_RETENTION_HOURS,
    graphMemoryBytes: env.GRAPH_MEMORY_MB * megabyte,
    reflection: env.REFLECTION === "on",
    logLevel: env.LOG_LEVEL,
    tracing: tracingConfig(env),
  });
  return { env, config };
}

function databaseConfig(env: Values<typeof databaseVariables>): DatabaseConfig {
  return Object.freeze({
    url: env.DATABASE_URL,
    serviceRole: env.DATABASE_SERVICE_ROLE,
    dataDir: env.DATA_DIR,
    connectionMaxAgeSeconds: env.DATABASE_CONNECTION_MAX_AGE_SECONDS,
    preparedStatements: env.DATABASE_PREPARED_STATEMENTS === "on",
  });
}

/** Reads only the configuration of the database, for a migration. Throws a `ConfigError`. */
export function readDatabaseConfig(environment: NodeJS.ProcessEnv): DatabaseConfig {
  const { env, problems } = readVariables(environment, databaseVariables);
  throwProblems(problems);
  return databaseConfig(env);
}

/** What signing a token needs. */
export type SigningConfig = Pick<Config, "production" | "jwt"> & {
  readonly database: Pick<DatabaseConfig, "dataDir">;
};

/** Reads only what signs tokens. Throws a `ConfigError`. */
export function readSigningConfig(environment: NodeJS.ProcessEnv): SigningConfig {
  const { NODE_ENV, DATA_DIR } = variables;
  const { env, problems } = readVariables(environment, { NODE_ENV, DATA_DIR, ...tokenVariables });
  const production = env.NODE_ENV === "production";
  throwProblems([...problems, ...tokenProblems(env, production)]);
  return { production, jwt: tokenConfig(env), database: { dataDir: env.DATA_DIR } };
}

/** The URL by which a client on this machine reaches the internal port. Throws a `ConfigError`. */
export function internalUrl(environment: NodeJS.ProcessEnv): string {
  const { HOST, GRPC_PORT, TLS_CERT_FILE } = variables;
  const { env, problems } = readVariables(environment, { HOST, GRPC_PORT, TLS_CERT_FILE });
  throwProblems(problems);
  const scheme = env.TLS_CERT_FILE === undefined ? "http" : "https";
  // A service on all addresses is on the loopback interface too.
  const host = { "0.0.0.0": "127.0.0.1", "::": "::1" }[env.HOST] ?? env.HOST;
  return `${scheme}://${isIPv6(host) ? `[${host}]` : host}:${env.GRPC_PORT}`;
}
