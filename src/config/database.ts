import { checked, oneOf, text, wholeNumber } from "./validators.ts";

/** Where the data lives: a PostgreSQL database, or the embedded one in the data directory. */
export interface DatabaseConfig {
  readonly url: string | undefined;
  /** The role to which `npm run migrate` grants what the service needs. */
  readonly serviceRole?: string | undefined;
  readonly dataDir: string;
  /** How old a connection may become. */
  readonly connectionMaxAgeSeconds?: number | undefined;
  /** To be off behind a pooler in transaction mode that does not track prepared statements. */
  readonly preparedStatements?: boolean | undefined;
}

const day = 86_400;

/** The URL as it is shown to the operator. Not by `URL`: that cannot have several hosts. */
const withoutPassword = (url: string) => {
  const [base = "", query] = url.replace(/#.*$/s, "").split(/\?(.*)/s);
  const masked = base.replace(/^(\w+:\/\/[^:@/]*):.*@/, "$1:***@");
  return query === undefined ? masked : `${masked}?***`;
};

const postgresUrl = checked(
  "a postgres:// URL",
  (value) => (/^postgres(ql)?:\/\/\S+$/.test(value) ? value : undefined),
  withoutPassword,
);

export const databaseVariables = {
  DATABASE_URL: postgresUrl({ default: undefined }),
  DATABASE_SERVICE_ROLE: text({ default: undefined }),
  DATABASE_CONNECTION_MAX_AGE_SECONDS: wholeNumber("seconds", 1, day)({ default: 1_800 }),
  DATABASE_PREPARED_STATEMENTS: oneOf("on", "off")({ default: "on" }),
  DATA_DIR: text({ default: ".data" }),
};

interface DatabaseEnvironment {
  readonly DATABASE_URL: string | undefined;
  readonly DATABASE_SERVICE_ROLE: string | undefined;
  readonly DATABASE_CONNECTION_MAX_AGE_SECONDS: number;
  readonly DATABASE_PREPARED_STATEMENTS: "on" | "off";
  readonly DATA_DIR: string;
}

export function databaseConfig(env: DatabaseEnvironment): DatabaseConfig {
  return Object.freeze({
    url: env.DATABASE_URL,
    serviceRole: env.DATABASE_SERVICE_ROLE,
    dataDir: env.DATA_DIR,
    connectionMaxAgeSeconds: env.DATABASE_CONNECTION_MAX_AGE_SECONDS,
    preparedStatements: env.DATABASE_PREPARED_STATEMENTS === "on",
  });
}
