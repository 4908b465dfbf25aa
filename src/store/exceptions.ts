import { sql } from "kysely";
import type { ConsistencyToken } from "../domain/consistency.ts";
import type { ListPosition } from "../domain/edges.ts";
import { PrivacyError, UnknownActorError } from "../domain/errors.ts";
import { maxExceptions, type PrivacySetting } from "../domain/settings.ts";
import type { User, UserId } from "../domain/users.ts";
import { hasLogged, parseToken, writeToken } from "./consistency.ts";
import { micros, timestampOf } from "./edges.ts";
import type { SqlExecutor } from "./executor.ts";
import { exceptionsLock } from "./locks.ts";
import { publicUserColumns, toUser, type UserRow, userRowColumns } from "./users.ts";

/** A user on an exception list, and since when. */
export interface Exception {
  /** The user's id: with the time, the position in the list. */
  readonly id: UserId;
  readonly user: User;
  /** Microseconds since 1970-01-01T00:00:00Z. */
  readonly createdAt: bigint;
}

type ExceptionRow = { readonly [K in keyof UserRow]: UserRow[K] | null } & { readonly micros: string | null };

/** The exception lists of settings. Every method throws `UnknownActorError` for an unknown actor. */
export class ExceptionRepository {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /** Lists at most `limit` exceptions of a setting, newest first, ties by id, those after a position. */
  async list(
    actor: UserId,
    setting: PrivacySetting,
    limit: number,
    after?: ListPosition,
    signal?: AbortSignal,
  ): Promise<Exception[]> {
    const beyond =
      after === undefined ? sql`` : sql`and (created_at, excepted_id) < (${timestampOf(after)}, ${after.id})`;
    const rows = await this.#executor.read(
      sql<ExceptionRow>`
        select ${sql.join([...userRowColumns, "micros"].map((name) => sql.ref(`page.${name}`)))}
        from users actor
        left join lateral (
          select known.*, created_at, ${micros} as micros
          from privacy_exceptions
          cross join lateral (
            select ${publicUserColumns} from users u where u.id = excepted_id and u.erased_at is null limit 1
          ) known
          where user_id = actor.id and setting = ${setting} ${beyond}
          order by created_at desc, excepted_id desc
          limit ${limit}
        ) page on true
        where actor.id = ${actor} and actor.erased_at is null
        order by page.created_at desc, page.id desc`,
      signal,
    );
    if (rows.length === 0) throw new UnknownActorError();
    return rows
      .filter((row): row is UserRow & { micros: string } => row.micros !== null)
      .map((row) => ({ id: row.id, user: toUser(row), createdAt: BigInt(row.micros) }));
  }

  /**
   * Adds and removes exceptions of a setting, all or none. Adding an existing one and removing a missing one change
   * nothing. Throws `USER_NOT_FOUND` when a user to add is unknown, `TOO_MANY_EXCEPTIONS` when more than 1,000
   * would exist.
   */
  async update(
    actor: UserId,
    setting: PrivacySetting,
    { add, remove }: { add: readonly UserId[]; remove: readonly UserId[] },
    signal?: AbortSignal,
  ): Promise<ConsistencyToken> {
    return this.#executor.transaction(
      async (run) => {
        // The advisory lock makes the check of the limit safe: two concurrent calls could exceed it together. The row locks
        // keep the users from being deleted, and fail at once when one of them is being erased.
        await run(
          sql`select from users where id = any (${[actor, ...add, ...remove]}::uuid[]) and erased_at is null
            for key share nowait`,
        );
        const [known] = await run(sql<{ actor: boolean; all: boolean }>`
        select exists (select from users where id = ${actor} and erased_at is null) as actor,
          not exists (
            select from unnest(${[...add]}::uuid[]) as wanted (id)
            left join users u on u.id = wanted.id and u.erased_at is null
            where u.id is null
          ) as all`);
        if (!known?.actor) throw new UnknownActorError();
        if (!known.all) throw new PrivacyError("USER_NOT_FOUND");
        await run(sql`
        delete from privacy_exceptions
        where user_id = ${actor} and setting = ${setting} and excepted_id = any (${[...remove]}::uuid[])`);
        await run(sql`
        insert into privacy_exceptions (user_id, setting, excepted_id, created_at)
        select ${actor}, ${setting}, wanted.id, statement_timestamp() from unnest(${[...add]}::uuid[]) as wanted (id)
        on conflict (user_id, setting, excepted_id) do nothing`);
        const [total] = await run(sql<{ count: number; token: string }>`
        select count(*)::int as count, ${writeToken(hasLogged)} as token
        from privacy_exceptions where user_id = ${actor} and setting = ${setting}`);
        if (total === undefined || total.count > maxExceptions) throw new PrivacyError("TOO_MANY_EXCEPTIONS");
        return parseToken(total.token);
      },
      { signal, locks: exceptionsLock(actor, setting), cause: "user" },
    );
  }
}
