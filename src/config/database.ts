import { checked, text, withoutCredentials } from "./validators.ts";

/** Where the data lives: a PostgreSQL database, or the embedded one in the data directory. */
export interface DatabaseConfig {
  readonly url: string | undefined;
  readonly dataDir: string;
}

const postgresUrl = checked(
  "a postgres:// URL",
  (value) => (/^postgres(ql)?:$/.test(URL.parse(value)?.protocol ?? "") ? value : undefined),
  withoutCredentials,
);

export const databaseVariables = {
  DATABASE_URL: postgresUrl({ default: undefined }),
  DATA_DIR: text({ default: ".data" }),
};

export function databaseConfig(env: { DATABASE_URL: string | undefined; DATA_DIR: string }): DatabaseConfig {
  return Object.freeze({ url: env.DATABASE_URL, dataDir: env.DATA_DIR });
}
