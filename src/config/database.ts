import { checked, text, withoutCredentials } from "./validators.ts";

/** Where the data lives: a PostgreSQL database, or the embedded one in the data directory. */
export interface DatabaseConfig {
  readonly url: string | undefined;
  /** The role to which `npm run migrate` grants what the service needs. */
  readonly serviceRole?: string | undefined;
  readonly dataDir: string;
}

const postgresUrl = checked(
  "a postgres:// URL",
  (value) => (/^postgres(ql)?:$/.test(URL.parse(value)?.protocol ?? "") ? value : undefined),
  withoutCredentials,
);

export const databaseVariables = {
  DATABASE_URL: postgresUrl({ default: undefined }),
  DATABASE_SERVICE_ROLE: text({ default: undefined }),
  DATA_DIR: text({ default: ".data" }),
};

interface DatabaseEnvironment {
  readonly DATABASE_URL: string | undefined;
  readonly DATABASE_SERVICE_ROLE: string | undefined;
  readonly DATA_DIR: string;
}

export function databaseConfig(env: DatabaseEnvironment): DatabaseConfig {
  return Object.freeze({
    url: env.DATABASE_URL,
    serviceRole: env.DATABASE_SERVICE_ROLE,
    dataDir: env.DATA_DIR,
  });
}
