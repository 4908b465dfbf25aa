import { sql } from "kysely";
import type { EdgeRecord, ListPosition } from "../domain/edges.ts";
import type { UserId } from "../domain/users.ts";
import { checkRemoved, type EdgeTable, edgeStatements, readAdded, readList } from "./edges.ts";
import type { SqlExecutor } from "./executor.ts";
import { pairLock } from "./locks.ts";

const blocks: EdgeTable = {
  name: sql.table("blocks"),
  owner: sql.ref("blocker_id"),
  target: sql.ref("blocked_id"),
  already: "USER_ALREADY_BLOCKED",
};

const statements = edgeStatements(
  blocks,
  (actor, target) => sql`, unfollowed as (
      delete from follows where (follower_id, followee_id) in ((${actor}, ${target}), (${target}, ${actor}))
    )`,
);

/** Who blocks whom. Every method throws `UnknownActorError` for an unknown actor, before anything else. */
export class BlockRepository {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /**
   * Blocks a user and ends the follows between the two, in either direction; mutes stay. Throws `USER_NOT_FOUND` or
   * `USER_ALREADY_BLOCKED`.
   */
  async block(actor: UserId, target: UserId, signal?: AbortSignal): Promise<EdgeRecord> {
    return this.#executor.transaction(
      async (run) => {
        return readAdded(blocks, await run(statements.add(actor, target)));
      },
      signal,
      pairLock(actor, target),
    );
  }

  /** Unblocks a user, blocked or not; brings no follow back. Throws `USER_NOT_FOUND`. */
  async unblock(actor: UserId, target: UserId, signal?: AbortSignal): Promise<void> {
    await this.#executor.transaction(
      async (run) => {
        checkRemoved(await run(statements.remove(actor, target)));
      },
      signal,
      pairLock(actor, target),
    );
  }

  /** Lists at most `limit` of the blocks that the actor made, newest first, those after a position. */
  async list(
    actor: UserId,
    limit: number,
    after?: ListPosition,
    signal?: AbortSignal,
  ): Promise<EdgeRecord[]> {
    return readList(await this.#executor.read(statements.list(actor, limit, after), signal));
  }
}
