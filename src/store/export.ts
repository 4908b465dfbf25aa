import { sql } from "kysely";
import { PrivacyError } from "../domain/errors.ts";
import type { StoredRecord } from "../domain/imports.ts";
import type { Audience, PrivacySetting } from "../domain/settings.ts";
import type { UserId } from "../domain/users.ts";
import type { SqlExecutor } from "./executor.ts";
import { assertWritable, isWritable } from "./server-state.ts";
import { queryTemplate } from "./statement.ts";
import { storedTables } from "./stored-tables.ts";
import { type StatePosition, TablePages } from "./table-pages.ts";
import { toUser, type UserRow, userColumns } from "./users.ts";

/** Rows of edges, settings and exceptions in a page. */
const pageRows = 5_000;
/** Users in a page: each may have tens of kilobytes. */
const pageUsers = 1_000;

/** Some records of an export. */
interface ExportPage {
  readonly records: StoredRecord[];
  /** Where the next page begins; undefined at the end. */
  readonly next: StatePosition | undefined;
}

type RecordRow = Omit<UserRow, "id"> & {
  readonly owner: UserId;
  readonly target: UserId;
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly scopes: number;
  readonly setting: PrivacySetting;
  readonly audience: Audience;
};

/** Users first, since an import needs them before all else. */
const pages = new TablePages<RecordRow>(["user", "follow", "block", "mute", "setting", "exception"], {
  user_name: sql`r.user_name`,
  first_name: sql`r.first_name`,
  last_name: sql`r.last_name`,
  profile_picture_urls: sql`array_to_json(r.profile_picture_urls)`,
  is_verified: sql`r.is_verified`,
});

const snapshotNow = queryTemplate(
  () => sql<{ snapshot: string }>`select pg_current_snapshot()::text as snapshot where ${isWritable}`,
);

const newUsers = queryTemplate(
  (from: string, to: string, after: string | null, limit: number) => sql<UserRow>`
    select ${userColumns} from (
      select owner from changes
      where xid >= pg_snapshot_xmax(${from}::pg_snapshot) and kind = 'user' and present
        and pg_visible_in_snapshot(xid, ${to}::pg_snapshot)
      union
      select owner from changes
      where xid = any (array(select pg_snapshot_xip(${from}::pg_snapshot))) and kind = 'user' and present
        and pg_visible_in_snapshot(xid, ${to}::pg_snapshot)
    ) added
    cross join lateral (select * from users where id = added.owner and erased_at is null limit 1) u
    where ${after}::uuid is null or added.owner > ${after}
    order by added.owner
    limit ${limit}`,
);

/** Without statistics the size of the table, by the usual size of a row. */
const estimate = queryTemplate(
  () => sql<{ total: number }>`
    select sum(
      case when reltuples >= 0 then reltuples else pg_relation_size(oid) / 100 end
    )::float8 as total
    from pg_class
    where oid = any (array[${sql.join(Object.values(storedTables).map(({ name }) => sql`${sql.lit(name)}::regclass`))}])`,
);

const countOf = queryTemplate((user: UserId) => {
  const { user: _, ...others } = storedTables;
  const counts = Object.values(others).map(
    ({ name, key }) => sql`(select count(*) from ${sql.table(name)} where ${sql.ref(key.owner)} = ${user})`,
  );
  return sql<{ known: boolean; total: number }>`
    select (select true from users where id = ${user} and erased_at is null) is not null as known,
      (1 + ${sql.join(counts, sql` + `)})::float8 as total`;
});

/** Reads what imports can store. */
export class ExportRepository {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /**
   * Returns about how many records there are: of all users by the server's statistics, of one user by counting. Throws
   * `USER_NOT_FOUND` for an unknown user.
   */
  async count(user: UserId | undefined, signal?: AbortSignal): Promise<number> {
    if (user === undefined) {
      const [row] = await this.#executor.read(estimate(), signal);
      return Math.round(row?.total ?? 0);
    }
    const [row] = await this.#executor.read(countOf(user), signal);
    if (row?.known !== true) throw new PrivacyError("USER_NOT_FOUND");
    return row.total;
  }

  /**
   * Reads the records of all users, or what one user made, in pages in the order of their keys: users, follows, blocks,
   * mutes, settings, exceptions. Each page shows the state of its own moment. What has ended, and what names a user who is
   * being erased, is left out.
   *
   * When all users are read, each user comes before the records that mention the user: one who has become known since the
   * users were read comes before the first page that may mention them.
   */
  async *read(user: UserId | undefined, signal?: AbortSignal): AsyncGenerator<StoredRecord[], void> {
    let known = user === undefined ? await this.#snapshot(signal) : undefined;
    for (let after: StatePosition | undefined = { table: 0, key: [] }; after !== undefined; ) {
      const { records, next }: ExportPage = await this.#page(user, after, signal);
      if (known !== undefined && after.table > 0 && records.length > 0) {
        // Taken after the page was read: whoever the page mentions is known to it.
        const now = await this.#snapshot(signal);
        yield* this.#newUsers(known, now, signal);
        known = now;
      }
      if (records.length > 0) yield records;
      after = next;
    }
  }

  async #page(
    owner: UserId | undefined,
    after: StatePosition,
    signal: AbortSignal | undefined,
  ): Promise<ExportPage> {
    const limit = after.table === 0 ? pageUsers : pageRows;
    const { kind, rows, next } = await pages.read(this.#executor, { after, limit, owner }, signal);
    return { records: rows.map((row) => toRecord(kind, row)), next };
  }

  async #snapshot(signal: AbortSignal | undefined): Promise<string> {
    const [row] = await this.#executor.read(snapshotNow(), signal);
    assertWritable(row === undefined ? undefined : true);
    return row?.snapshot ?? "";
  }

  /** The users who became known between two snapshots. */
  async *#newUsers(
    from: string,
    to: string,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<StoredRecord[], void> {
    if (from === to) return;
    for (let after: string | null = null; ; ) {
      const rows: UserRow[] = await this.#executor.read(newUsers(from, to, after, pageUsers), signal);
      if (rows.length > 0) yield rows.map((row) => ({ kind: "user", user: toUser(row) }));
      if (rows.length < pageUsers) return;
      after = rows.at(-1)?.id ?? null;
    }
  }
}

function toRecord(kind: StoredRecord["kind"], row: RecordRow): StoredRecord {
  const { owner, target, setting } = row;
  switch (kind) {
    case "user":
      return { kind, user: toUser({ ...row, id: owner }) };
    case "setting":
      return { kind, setting: { owner, setting, audience: row.audience } };
    case "exception":
      return { kind, exception: { owner, setting, target, createdAt: BigInt(row.created_at) } };
    case "follow":
      return { kind, edge: { owner, target, createdAt: BigInt(row.created_at) } };
    case "block":
      return { kind, edge: { owner, target, ...timesOf(row) } };
    case "mute":
      return { kind, edge: { owner, target, ...timesOf(row), scopes: row.scopes } };
  }
}

function timesOf({ created_at, expires_at }: RecordRow) {
  return {
    createdAt: BigInt(created_at),
    ...(expires_at !== null && { expiresAt: BigInt(expires_at) }),
  };
}
