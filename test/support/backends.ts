import { postgresUrl } from "./cluster.ts";

/** A database on which a test is to be run. */
export interface TestBackend {
  readonly backend: string;
  /** The URL of an empty one, undefined for an embedded one. Skips the test or hook where there is none to be had. */
  readonly databaseUrl: (test: Mocha.Context) => Promise<string | undefined>;
}

/** The embedded database. */
export const embedded: TestBackend = {
  backend: "the embedded database",
  databaseUrl: async () => undefined,
};

/** PostgreSQL. */
export const postgresql: TestBackend = {
  backend: "PostgreSQL",
  databaseUrl: async (test) => (await postgresUrl()) ?? test.skip(),
};
