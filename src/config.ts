import { isIPv6 } from "node:net";
import { type AdminConfig, adminConfig, adminVariables } from "./config/admin.ts";
import { browserVariables, type CorsOrigins } from "./config/browsers.ts";
import { type DatabaseConfig, databaseConfig, databaseVariables } from "./config/database.ts";
import { drainDelayMs, lifecycleVariables } from "./config/lifecycle.ts";
import { findNearMisses, type NearMiss } from "./config/near-misses.ts";
import { type OverloadConfig, overloadConfig, overloadVariables } from "./config/overload.ts";
import { type RateConfig, rateConfig, rateVariables } from "./config/rates.ts";
import { readVariables, refuse } from "./config/read.ts";
import { type TlsConfig, tlsConfig, tlsProblems, tlsVariables } from "./config/tls.ts";
import { type TokenConfig, tokenConfig, tokenProblems, tokenVariables } from "./config/tokens.ts";
import { type TracingConfig, tracingConfig, tracingVariables } from "./config/tracing.ts";
import { oneOf, path, port, shown, text } from "./config/validators.ts";

/** What the process was told by its environment; docs/configuration.md explains each variable. */
export interface Config {
  readonly production: boolean;
  readonly host: string;
  readonly httpPort: number;
  /** The path below which clients see the public port, empty for none. */
  readonly publicBasePath: string;
  readonly grpcPort: number;
  readonly admin: AdminConfig;
  /** Undefined for plaintext. */
  readonly tls: TlsConfig | undefined;
  readonly drainDelayMs: number;
  /** How long a connection of a client may be idle, in milliseconds. */
  readonly keepAliveMs: number;
  readonly database: DatabaseConfig;
  readonly jwt: TokenConfig;
  readonly corsOrigins: CorsOrigins;
  readonly rates: RateConfig;
  readonly maxInFlight: OverloadConfig;
  readonly reflection: boolean;
  readonly logLevel: LogLevel;
  /** Undefined: no traces. */
  readonly tracing: TracingConfig | undefined;
}

const logLevels = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
type LogLevel = (typeof logLevels)[number];

const variables = {
  ...adminVariables,
  ...databaseVariables,
  ...tokenVariables,
  ...browserVariables,
  ...tlsVariables,
  ...lifecycleVariables,
  ...rateVariables,
  ...overloadVariables,
  ...tracingVariables,
  NODE_ENV: oneOf("production", "development", "test")({ default: undefined }),
  HOST: text({ default: "127.0.0.1" }),
  HTTP_PORT: port({ default: 7001 }),
  PUBLIC_BASE_PATH: path({ default: "" }),
  GRPC_PORT: port({ default: 50051 }),
  REFLECTION: oneOf("on", "off")({ default: "on" }),
  LOG_LEVEL: oneOf(...logLevels)({ default: "info" }),
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

/** What holds of every variable, by default or by the environment, with secrets masked. Throws a `ConfigError`. */
export function effectiveVariables(environment: NodeJS.ProcessEnv): Record<string, string | null> {
  const { env, config } = read(environment);
  const values: Record<string, unknown> = {
    ...env,
    JWT_ISSUER: config.jwt.issuer,
    DRAIN_DELAY_MS: config.drainDelayMs,
  };
  return Object.fromEntries(
    Object.entries(variables).map(([name, spec]) => [name, shown(spec, values[name])]),
  );
}

/** The names in the environment that are likely to be misspelt variables of the service. */
export function nearMisses(environment: NodeJS.ProcessEnv): NearMiss[] {
  return findNearMisses(environment, variableNames);
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
    for (const { name, meant } of nearMisses(environment))
      problems.push(`${name} is unknown: is it ${meant}?`);
  refuse(problems);

  const config: Config = Object.freeze({
    production,
    host: env.HOST,
    httpPort: env.HTTP_PORT,
    publicBasePath: env.PUBLIC_BASE_PATH,
    grpcPort: env.GRPC_PORT,
    admin: adminConfig(env),
    tls: tlsConfig(env),
    drainDelayMs: drainDelayMs(env, production),
    keepAliveMs: env.KEEP_ALIVE_SECONDS * 1_000,
    database: databaseConfig(env),
    jwt: tokenConfig(env),
    corsOrigins: env.CORS_ORIGINS,
    rates: rateConfig(env),
    maxInFlight: overloadConfig(env),
    reflection: env.REFLECTION === "on",
    logLevel: env.LOG_LEVEL,
    tracing: tracingConfig(env),
  });
  return { env, config };
}

/** Reads where the data lives, and nothing else: what a migration job needs. Throws a `ConfigError`. */
export function readDatabaseConfig(environment: NodeJS.ProcessEnv): DatabaseConfig {
  const { env, problems } = readVariables(environment, databaseVariables);
  refuse(problems);
  return databaseConfig(env);
}

/** What signing a token needs. */
export type MintingConfig = Pick<Config, "production" | "jwt"> & {
  readonly database: Pick<DatabaseConfig, "dataDir">;
};

/** Reads what signs tokens, and nothing else. Throws a `ConfigError`. */
export function readMintingConfig(environment: NodeJS.ProcessEnv): MintingConfig {
  const { NODE_ENV } = variables;
  const { DATA_DIR } = databaseVariables;
  const { env, problems } = readVariables(environment, { NODE_ENV, DATA_DIR, ...tokenVariables });
  const production = env.NODE_ENV === "production";
  refuse([...problems, ...tokenProblems(env, production)]);
  return { production, jwt: tokenConfig(env), database: { dataDir: env.DATA_DIR } };
}

/** The URL by which a client on this machine reaches the internal port. Throws a `ConfigError`. */
export function internalUrl(environment: NodeJS.ProcessEnv): string {
  const { HOST, GRPC_PORT } = variables;
  const { TLS_CERT_FILE } = tlsVariables;
  const { env, problems } = readVariables(environment, { HOST, GRPC_PORT, TLS_CERT_FILE });
  refuse(problems);
  const scheme = env.TLS_CERT_FILE === undefined ? "http" : "https";
  // A service on all addresses is on the loopback interface too.
  const host = { "0.0.0.0": "127.0.0.1", "::": "::1" }[env.HOST] ?? env.HOST;
  return `${scheme}://${isIPv6(host) ? `[${host}]` : host}:${env.GRPC_PORT}`;
}
