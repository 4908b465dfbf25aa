import { sql } from "kysely";
import type { ConsistencyToken, Written } from "../domain/consistency.ts";
import { defaultTerms, type EdgeRecord, type EdgeTerms, type ListPosition } from "../domain/edges.ts";
import type { UserId } from "../domain/users.ts";
import { type EdgeTable, edgeStatements, readAdded, readList, readRemoved, readUpdated } from "./edges.ts";
import type { Run, SqlExecutor } from "./executor.ts";
import { makeOnce } from "./idempotency.ts";
import { pairLock } from "./locks.ts";

const blocks: EdgeTable = {
  name: sql.table("blocks"),
  owner: sql.ref("blocker_id"),
  target: sql.ref("blocked_id"),
  terms: ["expires_at"],
  duplicateReason: "USER_ALREADY_BLOCKED",
  absentReason: "USER_NOT_BLOCKED",
};

const statements = edgeStatements(
  blocks,
  (actor, target) => sql`, unfollowed as (
      delete from follows
      where (follower_id, followee_id) in ((${actor}, ${target}), (${target}, ${actor}))
        and exists (select from added)
    )`,
);

/** A block covers everything: it has no scopes. */
type BlockTerms = Pick<EdgeTerms, "expiresAt">;

/** The blocks of users. For an unknown actor every method throws `UnknownActorError`, before any other error. */
export class BlockRepository {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /**
   * Blocks a user and ends the follows between the two, in either direction; mutes are kept. Throws `USER_NOT_FOUND`,
   * `INVALID_EXPIRY` or `USER_ALREADY_BLOCKED`, the first that applies. `key`: see `makeOnce`.
   */
  async block(
    actor: UserId,
    target: UserId,
    terms: BlockTerms = defaultTerms,
    key?: string,
    signal?: AbortSignal,
  ): Promise<Written<EdgeRecord>> {
    const asked = { ...defaultTerms, ...terms };
    const add = async (run: Run) => readAdded(blocks, await run(statements.add(actor, target, asked)));
    return key === undefined
      ? this.#executor.transaction(add, { signal, locks: pairLock(actor, target), cause: "user" })
      : makeOnce(this.#executor, { method: "block", actor, target, terms: asked, key }, add, signal);
  }

  /**
   * Changes when a block ends. Throws `USER_NOT_FOUND`, `INVALID_EXPIRY` or
   * `USER_NOT_BLOCKED`, the first that applies. Logs nothing when it changes nothing.
   */
  async update(
    actor: UserId,
    target: UserId,
    change: Partial<BlockTerms>,
    signal?: AbortSignal,
  ): Promise<Written<EdgeRecord>> {
    return this.#executor.transaction(
      async (run) => {
        return readUpdated(blocks, await run(statements.update(actor, target, change)));
      },
      { signal, locks: pairLock(actor, target), cause: "user" },
    );
  }

  /** Unblocks a user, blocked or not. Restores no follow. Throws `USER_NOT_FOUND`. */
  async unblock(actor: UserId, target: UserId, signal?: AbortSignal): Promise<ConsistencyToken> {
    return this.#executor.transaction(
      async (run) => {
        return readRemoved(await run(statements.remove(actor, target)));
      },
      { signal, locks: pairLock(actor, target), cause: "user" },
    );
  }

  /** Lists at most `limit` blocks of the actor after a position, newest first. */
  async list(
    actor: UserId,
    limit: number,
    after?: ListPosition,
    signal?: AbortSignal,
  ): Promise<EdgeRecord[]> {
    return readList(await this.#executor.read(statements.list(actor, limit, after), signal));
  }
}
