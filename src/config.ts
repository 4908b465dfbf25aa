import { customCleanEnv, EnvError, EnvMissingError, makeValidator, type ValidatorSpec } from "envalid";

/** What the process was told by its environment; see the README for each variable. */
export interface Config {
  readonly production: boolean;
  readonly host: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly database: DatabaseConfig;
  readonly jwt: {
    readonly secret: string | undefined;
    readonly jwksUrl: URL | undefined;
    readonly issuer: string;
    readonly audience: string;
    readonly serviceAudience: string;
  };
  readonly reflection: boolean;
  readonly logLevel: LogLevel;
}

/** Where the data lives: a PostgreSQL database, or the embedded one in the data directory. */
export interface DatabaseConfig {
  readonly url: string | undefined;
  readonly dataDir: string;
}

const logLevels = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
type LogLevel = (typeof logLevels)[number];

/** The environment cannot be used; the message names every variable at fault and never repeats a value. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

const minSecretBytes = 32;
const developmentIssuer = "privacy-control";

// envalid's own validators repeat the value in their messages, and a value may be a secret.
function checked<T>(rule: string, parse: (text: string) => T | undefined) {
  return makeValidator<T>((text) => {
    const value = parse(text);
    if (value === undefined) throw new EnvError(`must be ${rule}`);
    return value;
  });
}

const text = checked("text", (value) => value);
const port = checked("a port from 0 to 65535", (value) =>
  /^\d{1,5}$/.test(value) && Number(value) <= 65_535 ? Number(value) : undefined,
);
const postgresUrl = checked("a postgres:// URL", (value) =>
  /^postgres(ql)?:$/.test(URL.parse(value)?.protocol ?? "") ? value : undefined,
);
const httpUrl = checked("an http:// or https:// URL", (value) => {
  const url = URL.parse(value);
  return url !== null && /^https?:$/.test(url.protocol) ? url : undefined;
});
const secret = checked(`at least ${minSecretBytes} bytes`, (value) =>
  Buffer.byteLength(value) >= minSecretBytes ? value : undefined,
);
const oneOf = <const T extends string>(...choices: T[]) =>
  checked(`one of ${choices.join(", ")}`, (value) => choices.find((choice) => choice === value));

const databaseVariables = {
  DATABASE_URL: postgresUrl({ default: undefined }),
  DATA_DIR: text({ default: ".data" }),
};

const variables = {
  ...databaseVariables,
  NODE_ENV: oneOf("production", "development", "test")({ default: undefined }),
  HOST: text({ default: "127.0.0.1" }),
  HTTP_PORT: port({ default: 7001 }),
  GRPC_PORT: port({ default: 50051 }),
  JWT_SECRET: secret({ default: undefined }),
  JWKS_URL: httpUrl({ default: undefined }),
  JWT_ISSUER: text({ default: undefined }),
  JWT_AUDIENCE: text({ default: "privacy-control" }),
  JWT_SERVICE_AUDIENCE: text({ default: "privacy-control-internal" }),
  REFLECTION: oneOf("on", "off")({ default: "on" }),
  LOG_LEVEL: oneOf(...logLevels)({ default: "info" }),
};

/**
 * Reads the configuration. An empty variable counts as unset.
 *
 * Throws a `ConfigError` that names every missing or malformed variable at once.
 */
export function readConfig(environment: NodeJS.ProcessEnv): Config {
  const { env, problems } = read(environment, variables);
  const production = env.NODE_ENV === "production";
  const need = (condition: boolean, problem: string) => condition || problems.push(problem);
  if (production) {
    need(
      env.JWT_SECRET !== undefined || env.JWKS_URL !== undefined,
      "JWT_SECRET or JWKS_URL is missing: in production tokens need a configured key",
    );
    need(env.JWT_ISSUER !== undefined, "JWT_ISSUER is missing: in production it must name who signs tokens");
    need(
      env.DATABASE_URL !== undefined,
      "DATABASE_URL is missing: in production it must name a PostgreSQL database",
    );
  }
  need(
    env.JWT_SECRET === undefined || env.JWKS_URL === undefined,
    "JWT_SECRET and JWKS_URL exclude each other",
  );
  need(
    env.JWT_AUDIENCE !== env.JWT_SERVICE_AUDIENCE,
    "JWT_AUDIENCE and JWT_SERVICE_AUDIENCE must differ: a user's token must never pass for a service's",
  );
  need(!env.HTTP_PORT || env.HTTP_PORT !== env.GRPC_PORT, "HTTP_PORT and GRPC_PORT must differ");
  refuse(problems);

  return Object.freeze({
    production,
    host: env.HOST,
    httpPort: env.HTTP_PORT,
    grpcPort: env.GRPC_PORT,
    database: databaseConfig(env),
    jwt: Object.freeze({
      secret: env.JWT_SECRET,
      jwksUrl: env.JWKS_URL,
      issuer: env.JWT_ISSUER ?? developmentIssuer,
      audience: env.JWT_AUDIENCE,
      serviceAudience: env.JWT_SERVICE_AUDIENCE,
    }),
    reflection: env.REFLECTION === "on",
    logLevel: env.LOG_LEVEL,
  });
}

/** Reads where the data lives, and nothing else: what a migration job needs. Throws a `ConfigError`. */
export function readDatabaseConfig(environment: NodeJS.ProcessEnv): DatabaseConfig {
  const { env, problems } = read(environment, databaseVariables);
  refuse(problems);
  return databaseConfig(env);
}

function databaseConfig(env: { DATABASE_URL: string | undefined; DATA_DIR: string }): DatabaseConfig {
  return Object.freeze({ url: env.DATABASE_URL, dataDir: env.DATA_DIR });
}

function read<const Specs extends Record<string, ValidatorSpec<unknown>>>(
  environment: NodeJS.ProcessEnv,
  specs: Specs,
) {
  const problems: string[] = [];
  const set = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ""));
  // The plain customCleanEnv: the usual one wraps its result in a proxy that throws for what failed to parse.
  const env = customCleanEnv(set, specs, (cleaned) => cleaned, {
    reporter: ({ errors }) => {
      for (const [name, error] of Object.entries(errors)) {
        problems.push(`${name} ${error instanceof EnvMissingError ? "is missing" : error?.message}`);
      }
    },
  });
  return { env, problems };
}

function refuse(problems: readonly string[]): void {
  if (problems.length > 0) throw new ConfigError(problems.join("\n"));
}
