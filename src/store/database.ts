import type { DatabaseConfig } from "../config/config.ts";
import { RelationshipFactsReader } from "./access.ts";
import { BlockRepository } from "./blocks.ts";
import { ChangeLog } from "./change-log.ts";
import { ChangeLogFiguresReader } from "./change-log-figures.ts";
import { ChangeLogUpkeep } from "./change-log-upkeep.ts";
import type { PoolStats } from "./connection.ts";
import { ConsistencyReader } from "./consistency.ts";
import { ExceptionRepository } from "./exceptions.ts";
import type { SqlExecutor, StatementTracer } from "./executor.ts";
import { ExpiryRepository } from "./expiry.ts";
import { ExplainedFactsReader } from "./explanation.ts";
import { ExportRepository } from "./export.ts";
import { FollowRepository } from "./follows.ts";
import { GraphPageReader } from "./graph-pages.ts";
import { HiddenUsersReader } from "./hidden.ts";
import { IdempotencyKeyUpkeep } from "./idempotency.ts";
import { ImportRepository } from "./imports.ts";
import { pendingMigrations } from "./migrations/migrate.ts";
import { MuteRepository } from "./mutes.ts";
import type { OnWait } from "./pg-pool.ts";
import { PreviewReader } from "./preview.ts";
import { ReadIndex } from "./read-index.ts";
import { RelationshipsReader } from "./relationships.ts";
import { SettingsRepository } from "./settings.ts";
import { query } from "./statement.ts";
import { UserRepository } from "./users.ts";

export { DirectoryInUseError } from "./data-directory.ts";

/** Where the data is: in the PostgreSQL database of `url`, else in the directory `dataDir`. */
export interface DatabaseOptions extends Partial<DatabaseConfig> {
  /** Called with messages of the libraries; nothing is written to the console. */
  readonly log?: ((message: string) => void) | undefined;
  /** Called with warnings for the operator; by default `log`. */
  readonly warn?: ((message: string) => void) | undefined;
  /** Called before an embedded database is made, which takes seconds. */
  readonly onCreate?: (() => void) | undefined;
  readonly onWait?: OnWait | undefined;
  readonly tracer?: StatementTracer | undefined;
}

/**
 * The store. Its methods throw `PrivacyError`s for what a caller can meet, `UNAVAILABLE` while the database cannot
 * answer. Their last parameter ends the wait: they reject with the signal's reason, and a write that was under way
 * may have taken effect or not, as after `UNAVAILABLE`.
 */
export interface Database {
  readonly kind: "postgresql" | "embedded";
  readonly users: UserRepository;
  readonly follows: FollowRepository;
  readonly blocks: BlockRepository;
  readonly mutes: MuteRepository;
  readonly settings: SettingsRepository;
  readonly exceptions: ExceptionRepository;
  readonly relationships: RelationshipsReader;
  readonly previews: PreviewReader;
  readonly relationshipFacts: RelationshipFactsReader;
  readonly explainedFacts: ExplainedFactsReader;
  readonly hiddenUsers: HiddenUsersReader;
  readonly consistency: ConsistencyReader;
  readonly imports: ImportRepository;
  readonly exports: ExportRepository;
  readonly changes: ChangeLog;
  readonly readIndex: ReadIndex;
  readonly graphPages: GraphPageReader;
  readonly changeLogFigures: ChangeLogFiguresReader;
  readonly changeLogUpkeep: ChangeLogUpkeep;
  readonly expiry: ExpiryRepository;
  readonly idempotencyKeys: IdempotencyKeyUpkeep;
  /** Returns the secret that signs page tokens, the same for all instances: 32 bytes. */
  signingKey(signal?: AbortSignal): Promise<Uint8Array>;
  /** Applies the pending migrations and returns their names. Safe with several instances at once. */
  migrate(): Promise<string[]>;
  /** Throws an `Error` for the operator to read when migrations are pending; applies none. */
  assertMigrated(signal?: AbortSignal): Promise<void>;
  /**
   * From now on every method fails at once while the database is unavailable: it does not answer, or lets decisions
   * wait. `onChange` is called with whether it is available, when that changes. The tables must exist.
   */
  watchAvailability(onChange: (isAvailable: boolean) => void): void;
  /** Whether so many calls wait for a connection that a further one, decisions apart, would be `UNAVAILABLE` at once. */
  isSaturated(): boolean;
  /** The pools of connections; the embedded database has none. */
  pools(): PoolStats[];
  /** Names the place of the data for people, without credentials. */
  describe(): string;
  /** Waits for the statements under way, and releases everything. */
  close(): Promise<void>;
}

/** An open database, with or without its tables. */
export interface Backend {
  readonly kind: "postgresql" | "embedded";
  readonly executor: SqlExecutor;
  /** For decisions: no change can make them wait for a connection. */
  readonly checks: SqlExecutor;
  /** With one connection, for the graph in memory. */
  readonly graph: SqlExecutor;
  /** Where the data is, without credentials. */
  readonly description: string;
  /** See `Database`. */
  watchAvailability(onChange: (isAvailable: boolean) => void): void;
  /** See `Database`. */
  isSaturated(): boolean;
  /** See `Database`. */
  pools(): PoolStats[];
  /** Applies the pending migrations and returns their names. */
  migrate(): Promise<string[]>;
  /** Waits for the statements under way, and releases everything. */
  close(): Promise<void>;
}

/**
 * Opens a database. The embedded one throws `DirectoryInUseError` when another instance uses its directory, and
 * `DataDirectoryError` when the directory or the database in it cannot be used.
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  return databaseOn(await openBackend(options));
}

/** The store on an open backend. */
export function databaseOn(backend: Backend): Database {
  const { kind, executor, description } = backend;
  return {
    kind,
    users: new UserRepository(executor),
    follows: new FollowRepository(executor),
    blocks: new BlockRepository(executor),
    mutes: new MuteRepository(executor),
    settings: new SettingsRepository(executor),
    exceptions: new ExceptionRepository(executor),
    relationships: new RelationshipsReader(executor),
    previews: new PreviewReader(executor),
    relationshipFacts: new RelationshipFactsReader(backend.checks),
    explainedFacts: new ExplainedFactsReader(backend.checks),
    hiddenUsers: new HiddenUsersReader(backend.checks),
    consistency: new ConsistencyReader(backend.checks),
    imports: new ImportRepository(executor),
    exports: new ExportRepository(executor),
    changes: new ChangeLog(executor),
    readIndex: new ReadIndex(backend.graph),
    graphPages: new GraphPageReader(backend.graph),
    changeLogFigures: new ChangeLogFiguresReader(executor),
    changeLogUpkeep: new ChangeLogUpkeep(executor, { vacuums: kind === "embedded" }),
    expiry: new ExpiryRepository(executor),
    idempotencyKeys: new IdempotencyKeyUpkeep(executor),
    async signingKey(signal) {
      const [row] = await executor.read(query.selectFrom("signing_keys").select("key").compile(), signal);
      if (row === undefined) throw new Error("The database lacks its signing key: run `npm run migrate`");
      return row.key;
    },
    migrate: () => backend.migrate(),
    async assertMigrated(signal) {
      const pending = await pendingMigrations(executor, signal);
      if (pending.length === 0) return;
      throw new Error(`The database ${description} lacks ${pending.join(", ")}: run \`npm run migrate\``);
    },
    watchAvailability: (onChange) => backend.watchAvailability(onChange),
    isSaturated: () => backend.isSaturated(),
    pools: () => backend.pools(),
    describe: () => description,
    close: () => backend.close(),
  };
}

// Imported when used: the other backend's driver is never loaded.
async function openBackend({ url, dataDir, log = () => {}, ...options }: DatabaseOptions): Promise<Backend> {
  if (url !== undefined) return (await import("./postgresql.ts")).openPostgresql(url, log, options);
  if (dataDir !== undefined) return (await import("./embedded.ts")).openEmbedded(dataDir, log, options);
  throw new Error("Neither a database URL nor a data directory is given");
}
