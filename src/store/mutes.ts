import { sql } from "kysely";
import type { ConsistencyToken, Written } from "../domain/consistency.ts";
import type { EdgeRecord, ListPosition } from "../domain/edges.ts";
import type { UserId } from "../domain/users.ts";
import { type EdgeTable, edgeStatements, readAdded, readList, readRemoved, replacedBy } from "./edges.ts";
import type { SqlExecutor } from "./executor.ts";
import { pairLock } from "./locks.ts";

const mutes: EdgeTable = {
  name: sql.table("mutes"),
  owner: sql.ref("muter_id"),
  target: sql.ref("muted_id"),
  duplicateReason: "USER_ALREADY_MUTED",
  replaced: replacedBy("scopes"),
};

const statements = edgeStatements(mutes);

/** The mutes of users. For an unknown actor every method throws `UnknownActorError`, before any other error. */
export class MuteRepository {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /** Mutes a user. Throws `USER_NOT_FOUND` or `USER_ALREADY_MUTED`. */
  async mute(actor: UserId, target: UserId, signal?: AbortSignal): Promise<Written<EdgeRecord>> {
    return this.#executor.transaction(
      async (run) => {
        return readAdded(mutes, await run(statements.add(actor, target)));
      },
      { signal, locks: pairLock(actor, target), cause: "user" },
    );
  }

  /** Unmutes a user, muted or not. Throws `USER_NOT_FOUND`. */
  async unmute(actor: UserId, target: UserId, signal?: AbortSignal): Promise<ConsistencyToken> {
    return this.#executor.transaction(
      async (run) => {
        return readRemoved(await run(statements.remove(actor, target)));
      },
      { signal, locks: pairLock(actor, target), cause: "user" },
    );
  }

  /** Lists at most `limit` mutes of the actor after a position, newest first. */
  async list(
    actor: UserId,
    limit: number,
    after?: ListPosition,
    signal?: AbortSignal,
  ): Promise<EdgeRecord[]> {
    return readList(await this.#executor.read(statements.list(actor, limit, after), signal));
  }
}
