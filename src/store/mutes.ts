import { sql } from "kysely";
import type { ConsistencyToken, Written } from "../domain/consistency.ts";
import {
  defaultTerms,
  type EdgeRecord,
  type EdgeTerms,
  type EdgeTermsChange,
  type ListPosition,
} from "../domain/edges.ts";
import type { UserId } from "../domain/users.ts";
import { type EdgeTable, edgeStatements, readAdded, readList, readRemoved, readUpdated } from "./edges.ts";
import type { Run, SqlExecutor } from "./executor.ts";
import { makeOnce } from "./idempotency.ts";
import { pairLock } from "./locks.ts";

const mutes: EdgeTable = {
  name: sql.table("mutes"),
  owner: sql.ref("muter_id"),
  target: sql.ref("muted_id"),
  terms: ["expires_at", "scopes"],
  duplicateReason: "USER_ALREADY_MUTED",
  absentReason: "USER_NOT_MUTED",
};

const statements = edgeStatements(mutes);

/** The mutes of users. For an unknown actor every method throws `UnknownActorError`, before any other error. */
export class MuteRepository {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /**
   * Mutes a user. Throws `USER_NOT_FOUND`, `INVALID_EXPIRY` or `USER_ALREADY_MUTED`, the first that applies. `key`: see
   * `makeOnce`.
   */
  async mute(
    actor: UserId,
    target: UserId,
    terms: EdgeTerms = defaultTerms,
    key?: string,
    signal?: AbortSignal,
  ): Promise<Written<EdgeRecord>> {
    const add = async (run: Run) => readAdded(mutes, await run(statements.add(actor, target, terms)));
    return key === undefined
      ? this.#executor.transaction(add, { signal, locks: pairLock(actor, target), cause: "user" })
      : makeOnce(this.#executor, { method: "mute", actor, target, terms, key }, add, signal);
  }

  /**
   * Changes when a mute ends, or what it covers. Throws `USER_NOT_FOUND`, `INVALID_EXPIRY` or
   * `USER_NOT_MUTED`, the first that applies. Logs nothing when it changes nothing.
   */
  async update(
    actor: UserId,
    target: UserId,
    change: EdgeTermsChange,
    signal?: AbortSignal,
  ): Promise<Written<EdgeRecord>> {
    return this.#executor.transaction(
      async (run) => {
        return readUpdated(mutes, await run(statements.update(actor, target, change)));
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
