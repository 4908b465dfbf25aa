import { type Selectable, sql } from "kysely";
import type { ConsistencyToken } from "../domain/consistency.ts";
import { PrivacyError } from "../domain/errors.ts";
import {
  type ImportedEdge,
  type ImportedException,
  type ImportedSetting,
  type ImportedUser,
  type ImportProgress,
  type ImportRecord,
  type SkippedRecord,
  skipReasons,
} from "../domain/imports.ts";
import { hasLogged, readToken, writeToken } from "./consistency.ts";
import type { Tables } from "./entities.ts";
import type { Run, SqlExecutor } from "./executor.ts";
import { importExceptions, importSettings } from "./import-choices.ts";
import {
  type BatchOutcome,
  importBlocks,
  importFollows,
  importMutes,
  importUsers,
  type Numbered,
} from "./import-records.ts";
import { exceptionsName, lockAllStatement, pairName } from "./locks.ts";
import { query } from "./statement.ts";

/** Drivers return the counts as texts. */
type ImportRow = Omit<Selectable<Tables["service_imports"]>, "service" | "id">;

const rowOf = (service: string, id: string) =>
  query
    .selectFrom("service_imports")
    .select(["records", "stored", "unchanged", "skipped"])
    .where("service", "=", service)
    .where("id", "=", id);

/** Names an import: each service chooses the ids of its own imports, so that none can meet another's. */
export interface ImportName {
  /** The name of the service that imports: the subject of its token. */
  readonly service: string;
  /** A UUID in lower case. */
  readonly id: string;
}

/** Bulk imports, which can be interrupted and resumed: the progress of each is stored with its records. */
export class ImportRepository {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /** Returns the progress of an import; that of a new one when it is unknown. */
  async progress({ service, id }: ImportName, signal?: AbortSignal): Promise<ImportProgress> {
    const rows = await this.#executor.read(rowOf(service, id).compile(), signal);
    return toProgress(rows[0]);
  }

  /**
   * Stores at most 1,000 records and the progress of the import in one transaction. `first` is the number
   * of the first one; those that were stored before are skipped. Throws `IMPORT_GAP` when records before them are
   * missing.
   *
   * Users are stored before blocks, mutes, follows, settings and exceptions, in this order, whatever the order of the
   * records.
   */
  async store(
    { service, id }: ImportName,
    first: number,
    records: readonly ImportRecord[],
    signal?: AbortSignal,
  ): Promise<{ progress: ImportProgress; skipped: SkippedRecord[]; token: ConsistencyToken }> {
    return this.#executor.transaction(
      async (run) => {
        await run(
          query
            .insertInto("service_imports")
            .values({ service, id })
            .onConflict((conflict) => conflict.doNothing())
            .compile(),
        );
        const [row] = await run(rowOf(service, id).forUpdate().compile());
        const before = toProgress(row);
        if (first > before.records) throw new PrivacyError("IMPORT_GAP");
        const unstored = records.slice(before.records - first);
        const outcome = await storeNew(run, unstored, Math.max(first, before.records));
        const progress = advance(before, unstored.length, outcome);
        const updated = await run(
          query
            .updateTable("service_imports")
            .set({
              records: BigInt(progress.records),
              stored: BigInt(progress.stored),
              unchanged: BigInt(progress.unchanged),
              skipped: sql`${JSON.stringify(progress.skipped)}::jsonb`,
            })
            .where("service", "=", service)
            .where("id", "=", id)
            .returning(writeToken(hasLogged).as("token"))
            .compile(),
        );
        return { progress, skipped: outcome.skipped, token: readToken(updated) };
      },
      { signal, locks: { names: [`import:${service}:${id}`] }, cause: "import" },
    );
  }
}

/** The records of a message by kind, each with its number. */
interface SortedRecords {
  readonly users: ImportedUser[];
  readonly follow: Numbered<ImportedEdge>[];
  readonly block: Numbered<ImportedEdge>[];
  readonly mute: Numbered<ImportedEdge>[];
  readonly settings: Numbered<ImportedSetting>[];
  readonly exceptions: Numbered<ImportedException>[];
  /** Those that cannot be stored whatever the database holds. */
  readonly skipped: SkippedRecord[];
}

function sortRecords(records: readonly ImportRecord[], first: number): SortedRecords {
  const sorted: SortedRecords = {
    users: [],
    follow: [],
    block: [],
    mute: [],
    settings: [],
    exceptions: [],
    skipped: [],
  };
  for (const [index, given] of records.entries()) {
    const record = first + index;
    switch (given.kind) {
      case "malformed":
        sorted.skipped.push({ record, reason: "MALFORMED", description: given.description });
        break;
      case "user":
        sorted.users.push(given.user);
        break;
      case "setting":
        sorted.settings.push({ ...given.setting, record });
        break;
      case "exception":
        sorted.exceptions.push({ ...given.exception, record });
        break;
      default:
        if (given.edge.owner === given.edge.target) {
          const description = "ownerId and targetId are the same user";
          sorted.skipped.push({ record, reason: "SELF", description });
        } else sorted[given.kind].push({ ...given.edge, record });
    }
  }
  return sorted;
}

/** Stores records, of which the import has stored none before. `first` is the number of the first one. */
async function storeNew(run: Run, records: readonly ImportRecord[], first: number): Promise<BatchOutcome> {
  const { users, follow, block, mute, settings, exceptions, skipped } = sortRecords(records, first);
  const usersStored = await importUsers(run, users);
  // Only imports take many of these locks, all in the same order.
  await run(
    lockAllStatement([
      ...[...follow, ...block, ...mute].map(({ owner, target }) => pairName(owner, target)),
      ...exceptions.map(({ owner, setting }) => exceptionsName(owner, setting)),
    ]),
  );
  const outcomes = [
    { stored: usersStored, skipped },
    await importBlocks(run, block),
    await importMutes(run, mute),
    await importFollows(run, follow),
    await importSettings(run, settings),
    await importExceptions(run, exceptions),
  ];
  return {
    stored: outcomes.reduce((sum, { stored }) => sum + stored, 0),
    skipped: outcomes.flatMap((outcome) => outcome.skipped).sort((a, b) => a.record - b.record),
  };
}

function advance(before: ImportProgress, count: number, { stored, skipped }: BatchOutcome): ImportProgress {
  const reasons = skipReasons.map((reason) => [
    reason,
    before.skipped[reason] + skipped.filter((record) => record.reason === reason).length,
  ]);
  return {
    records: before.records + count,
    stored: before.stored + stored,
    unchanged: before.unchanged + count - stored - skipped.length,
    skipped: Object.fromEntries(reasons),
  };
}

function toProgress(row: ImportRow | undefined): ImportProgress {
  const reasons = skipReasons.map((reason) => [reason, row?.skipped[reason] ?? 0]);
  return {
    records: Number(row?.records ?? 0),
    stored: Number(row?.stored ?? 0),
    unchanged: Number(row?.unchanged ?? 0),
    skipped: Object.fromEntries(reasons),
  };
}
