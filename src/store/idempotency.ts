import { createHash } from "node:crypto";
import { sql } from "kysely";
import type { Written } from "../domain/consistency.ts";
import type { EdgeRecord, EdgeTerms } from "../domain/edges.ts";
import { type ErrorReason, PrivacyError, UnknownActorError } from "../domain/errors.ts";
import type { UserId } from "../domain/users.ts";
import { microsOf } from "./change-rows.ts";
import { currentState, parseToken } from "./consistency.ts";
import { timestampFromMicros } from "./edges.ts";
import type { Run, SqlExecutor } from "./executor.ts";
import { pairLock, withKey } from "./locks.ts";
import { queryTemplate } from "./statement.ts";
import { publicUserColumns, toUser, type UserRow } from "./users.ts";

/** A block or mute that its caller may repeat. */
export interface RepeatableRequest {
  readonly method: "block" | "mute";
  readonly actor: UserId;
  readonly target: UserId;
  readonly terms: EdgeTerms;
  /** Chosen by the caller, of whom it is. */
  readonly key: string;
}

/** Makes the record. */
type Change = (run: Run) => Promise<Written<EdgeRecord>>;

/** What a change came to: the record, or why there is none. */
type Outcome = Written<EdgeRecord> | PrivacyError;

/** The failures that are an outcome of the change. After all others nothing is known of it, or nothing has happened. */
const outcomes: ReadonlySet<ErrorReason> = new Set([
  "USER_ALREADY_BLOCKED",
  "USER_ALREADY_MUTED",
  "USER_NOT_FOUND",
  "INVALID_EXPIRY",
]);

/** The condition that a key may be used for another request: it counts as deleted. */
const lapsed = sql`created_at <= statement_timestamp() - interval '24 hours'`;

/** The columns of the outcome, which a key that is used again has none of. */
const outcomeColumns = ["failure", "record", "record_created_at", "record_expires_at", "record_scopes"];

/**
 * Takes the key for the request, unless it is taken. Waits for another request with the key, and locks the row in either
 * case. The change must be a later statement: only that sees what was committed during the wait.
 */
const claim = queryTemplate(
  (actor: UserId, target: UserId, key: string, request: Buffer) => sql<{
    actor_known: boolean;
    claimed: boolean;
  }>`
    with actor as (select id from users where id = ${actor} and erased_at is null for key share nowait),
    other as (select id from users where id = ${target} and erased_at is null for key share nowait),
    claimed as (
      insert into idempotency_keys as k (actor_id, key, request, target_id)
      select actor.id, ${key}::text, ${request}::bytea, other.id from actor left join other on true
      on conflict (actor_id, key) do update set
        request = excluded.request, target_id = excluded.target_id, created_at = excluded.created_at,
        ${sql.join(outcomeColumns.map((name) => sql`${sql.ref(name)} = null`))}
      where k.${lapsed}
      returning 1
    )
    select exists (select from actor) as actor_known, exists (select from claimed) as claimed`,
);

const storeFailure = queryTemplate(
  (actor: UserId, key: string, reason: ErrorReason) => sql`
    update idempotency_keys set failure = ${reason} where actor_id = ${actor} and key = ${key}`,
);

// The target may have become known after the key was taken.
const storeRecord = queryTemplate(
  (
    actor: UserId,
    key: string,
    target: UserId,
    id: string,
    createdAt: string,
    expiresAt: string | null,
    scopes: number,
  ) => sql`
    update idempotency_keys set
      target_id = ${target},
      record = ${id},
      record_created_at = ${timestampFromMicros(sql`${createdAt}::bigint`)},
      record_expires_at = ${timestampFromMicros(sql`${expiresAt}::bigint`)},
      record_scopes = ${scopes}
    where actor_id = ${actor} and key = ${key}`,
);

type OutcomeRow = { readonly [Column in keyof UserRow]: UserRow[Column] | null } & {
  readonly is_same: boolean;
  /** Whether the target was known then and is not now. */
  readonly is_erased: boolean;
  readonly failure: ErrorReason | null;
  readonly record_id: string | null;
  readonly record_created_at: string;
  readonly record_expires_at: string | null;
  readonly record_scopes: number;
  readonly token: string;
};

/** The outcome of the request that has the key, with the target as it is now. */
const readOutcome = queryTemplate(
  (actor: UserId, key: string, request: Buffer) => sql<OutcomeRow>`
    select k.request = ${request}::bytea as is_same,
      k.target_id is not null and other.id is null as is_erased, k.failure, k.record as record_id,
      ${microsOf(sql`k.record_created_at`)} as record_created_at,
      ${microsOf(sql`k.record_expires_at`)} as record_expires_at, k.record_scopes, other.*,
      ${currentState} as token
    from idempotency_keys k
    left join lateral (
      select ${publicUserColumns} from users u where u.id = k.target_id and u.erased_at is null limit 1
    ) other on true
    where k.actor_id = ${actor} and k.key = ${key}`,
);

/**
 * Makes a record in a transaction that has the lock of the pair, once for each key. A request with the key of an earlier
 * one gets the outcome of that one, also when the record has been changed or removed since, and changes nothing; the user
 * of the record is read anew. Throws `IDEMPOTENCY_KEY_REUSED` when the earlier one asked for something else.
 *
 * `change` is committed also when it fails with an outcome: it must have changed nothing then.
 */
export async function makeOnce(
  executor: SqlExecutor,
  request: RepeatableRequest,
  change: Change,
  signal: AbortSignal | undefined,
): Promise<Written<EdgeRecord>> {
  const { actor, target, key } = request;
  const outcome = await executor.transaction((run) => outcomeOf(run, request, change), {
    signal,
    locks: withKey(pairLock(actor, target), actor, key),
    cause: "user",
  });
  if (outcome instanceof PrivacyError) throw outcome;
  return outcome;
}

async function outcomeOf(run: Run, request: RepeatableRequest, change: Change): Promise<Outcome> {
  const { actor, target, key } = request;
  const digest = digestOf(request);
  const [row] = await run(claim(actor, target, key, digest));
  if (!row?.actor_known) throw new UnknownActorError();
  if (!row.claimed) return earlierOutcome(await run(readOutcome(actor, key, digest)));
  const outcome = await change(run).catch(toOutcome);
  if (outcome instanceof PrivacyError) {
    await run(storeFailure(actor, key, outcome.reason));
    return outcome;
  }
  const { id, createdAt, expiresAt, scopes } = outcome.result;
  await run(storeRecord(actor, key, target, id, String(createdAt), expiresAt?.toString() ?? null, scopes));
  return outcome;
}

function toOutcome(failure: unknown): PrivacyError {
  if (failure instanceof PrivacyError && outcomes.has(failure.reason)) return failure;
  throw failure;
}

function earlierOutcome(rows: OutcomeRow[]): Outcome {
  const [row] = rows;
  if (row === undefined) throw new Error("the row of an idempotency key was deleted in spite of its lock");
  if (!row.is_same) throw new PrivacyError("IDEMPOTENCY_KEY_REUSED");
  if (row.is_erased) return new PrivacyError("USER_NOT_FOUND");
  if (row.failure !== null) return new PrivacyError(row.failure);
  if (row.record_id === null) throw new Error("an idempotency key has no outcome");
  const result: EdgeRecord = {
    id: row.record_id,
    user: toUser(row as UserRow),
    createdAt: BigInt(row.record_created_at),
    expiresAt: row.record_expires_at === null ? null : BigInt(row.record_expires_at),
    scopes: row.record_scopes,
  };
  return { result, token: parseToken(row.token) };
}

/** The digest of all that a request asks for: two with the same key must agree in it. */
function digestOf({ method, target, terms }: RepeatableRequest): Buffer {
  const asked = [method, target, terms.expiresAt?.toString() ?? null, terms.scopes];
  return createHash("sha256").update(JSON.stringify(asked)).digest();
}

/** The rows that one transaction deletes. */
const rowsAtOnce = 500;

// Not by `exists`, for which the server could read the whole table.
const isAnyLapsed = queryTemplate(
  () => sql<{ lapsed: boolean }>`
    select (
      select true from idempotency_keys where ${lapsed} order by created_at limit 1
    ) is not null as lapsed`,
);

const sweep = queryTemplate(
  () => sql<{ count: number }>`
    with due as (
      select actor_id as due_actor, key as due_key from idempotency_keys
      where ${lapsed} order by created_at limit ${sql.lit(rowsAtOnce)} for update skip locked
    ), gone as (
      delete from idempotency_keys using due where actor_id = due_actor and key = due_key and ${lapsed}
      returning 1
    )
    select count(*)::int as count from gone`,
);

/** Deletes idempotency keys whose time is over. No answer depends on it: they count as deleted. */
export class IdempotencyKeyUpkeep {
  readonly #executor: SqlExecutor;

  constructor(executor: SqlExecutor) {
    this.#executor = executor;
  }

  /**
   * Deletes at most 500 keys that are older than a day, but for those that another transaction has locked, and returns how
   * many it deleted. Waits for no lock. Changes nothing, and begins no transaction, while there is none.
   */
  async sweepLapsed(signal?: AbortSignal): Promise<number> {
    const [row] = await this.#executor.read(isAnyLapsed(), signal);
    if (!row?.lapsed) return 0;
    const [gone] = await this.#executor.transaction((run) => run(sweep()), { signal });
    return gone?.count ?? 0;
  }
}
