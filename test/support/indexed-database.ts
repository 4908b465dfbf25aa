import pino from "pino";
import type { AccessQuery } from "../../src/domain/access.ts";
import { decideAccess } from "../../src/domain/access.ts";
import { ChangeFeed, feedIntervals } from "../../src/service/change-feed.ts";
import { RelationshipIndex } from "../../src/service/relationship-index.ts";
import { factsQuery } from "../../src/store/access.ts";
import { type Database, type DatabaseOptions, openDatabase } from "../../src/store/database.ts";
import { until } from "./until.ts";

/** A database with a relationship index on it. */
export interface IndexedDatabase extends AsyncDisposable {
  readonly database: Database;
  readonly index: RelationshipIndex;
  /** The messages of the index and of the feed, oldest first. */
  readonly messages: readonly string[];
  /** Waits until the index is current again. */
  untilReady(): Promise<void>;
  /** The decision of the graph, as current as a statement that starts now; fails unless the graph makes it. */
  decide(query: AccessQuery): Promise<string>;
  /** The decision of the tables. */
  decideByTables(query: AccessQuery): Promise<string>;
}

interface IndexedDatabaseOptions {
  /** An empty database of PostgreSQL; by default an embedded one in memory. */
  readonly url?: string | undefined;
  readonly maxBytes?: number;
  readonly auditMs?: number;
  readonly connections?: Pick<DatabaseOptions, "connectionMaxAgeSeconds" | "preparedStatements">;
}

/** Opens a database, migrates it, and starts an index on it. */
export async function openIndexedDatabase({
  url,
  maxBytes = 2 ** 26,
  auditMs,
  connections,
}: IndexedDatabaseOptions): Promise<IndexedDatabase> {
  await using parts = new AsyncDisposableStack();
  const messages: string[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => messages.push(JSON.parse(line).msg) });
  const database = await openDatabase(url === undefined ? { dataDir: "memory://" } : { url, ...connections });
  parts.defer(() => database.close());
  await database.migrate();
  const feed = await ChangeFeed.start(database.changes, feedIntervals(database.kind), log);
  parts.defer(() => feed.close());
  const index = new RelationshipIndex({
    changes: database.changes,
    readIndex: database.readIndex,
    pages: database.graphPages,
    newestTick: () => feed.head,
    maxBytes,
    ...(auditMs !== undefined && { auditMs }),
    log,
  });
  parts.defer(() => index.close());
  const { signal } = new AbortController();
  const untilReady = () => until(() => index.mode === "ready");
  await until(() => index.mode === "ready" || index.mode === "too_large");
  const owned = parts.move();
  return {
    database,
    index,
    messages,
    untilReady,
    async decide(query) {
      if (!(await index.confirm(signal))) throw new Error("the graph is not current");
      return describe(index.decide(query));
    },
    async decideByTables(query) {
      const [facts] = await database.relationshipFacts.read([factsQuery(query)]);
      return describe(facts && decideAccess(query, facts));
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function describe(decision: { effect: string; cause: string | null } | undefined): string {
  if (decision === undefined) return "undecided";
  return `${decision.effect} ${decision.cause ?? ""}`.trim();
}
