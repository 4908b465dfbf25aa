import { PrivacyError, UnknownActorError } from "../domain/errors.ts";
import { UnusableServerError } from "./server-state.ts";

/**
 * What an error says about the statement that failed and its connection:
 * - `unavailable`: the database cannot answer now.
 * - `rolled back`: the server has rolled the statement back and would most likely run it another time.
 * - `lock refused`: a lock was refused or not granted in time; nothing was changed.
 * - `lost`: an open connection broke; nothing was changed, unless a commit was under way.
 * - `unusable`: the connection must not be used again. The server is not a primary, ends the connection, or may still
 *   run the statement; or a pooler has changed the server connection behind it.
 */
type Trait = "unavailable" | "rolled back" | "lock refused" | "lost" | "unusable";

/** By SQLSTATE, or by the code of the operating system. An error has the traits of every row that matches. */
const traitsByCode: readonly (readonly [codes: RegExp, ...traits: Trait[]])[] = [
  // By class: connection, authorization, resources, operator.
  [/^(08...|28...|53...|57P..)$/, "unavailable"],
  [/^08...$/, "unusable"],
  [/^08006$/, "lost"],
  // Shutdown, crash, start-up.
  [/^57P0[123]$/, "unusable"],
  [/^57P0[12]$/, "lost"],
  // A statement was cancelled, or took too long.
  [/^57014$/, "unavailable"],
  [/^55P03$/, "unavailable", "lock refused"],
  // A serialization failure, a deadlock.
  [/^(40001|40P01)$/, "unavailable", "rolled back"],
  // A transaction was open already, or for too long.
  [/^25P0[23]$/, "unavailable"],
  [/^25P02$/, "unusable"],
  // The server is read-only.
  [/^25006$/, "unavailable", "unusable"],
  // No such database.
  [/^3D000$/, "unavailable"],
  // Behind a pooler: another client has prepared the name, or this client has prepared it on another connection.
  [/^(42P05|26000)$/, "unavailable", "unusable"],
  [/^(ECONNRESET|EPIPE)$/, "unavailable", "lost"],
  [
    /^(ECONNREFUSED|ECONNABORTED|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENOTFOUND|EAI_AGAIN|ENOENT)$/,
    "unavailable",
  ],
];

/** By how the message begins: the drivers give these errors no code. */
const traitsByMessage: readonly (readonly [start: string, ...traits: Trait[]])[] = [
  ["timeout exceeded when trying to connect", "unavailable"],
  ["timeout expired", "unavailable"],
  ["Connection terminated", "unavailable"],
  ["Connection terminated unexpectedly", "lost"],
  ["Query read timeout", "unavailable", "unusable"],
  // With these two the driver has not sent the statement.
  ["Client has encountered a connection error and is not queryable", "unavailable", "lost"],
  ["Client was closed and is not queryable", "unavailable", "lost"],
  ["Cannot use a pool after calling end on the pool", "unavailable"],
  ["PGlite is closed", "unavailable"],
  ["PGlite is closing", "unavailable"],
];

function has(failure: unknown, trait: Trait): boolean {
  if (!(failure instanceof Error)) return false;
  const code = codeOf(failure);
  return (
    traitsByCode.some(([codes, ...traits]) => codes.test(code) && traits.includes(trait)) ||
    traitsByMessage.some(([start, ...traits]) => failure.message.startsWith(start) && traits.includes(trait))
  );
}

const foreignKeyViolation = "23503";
const foreignKeysOfActors = new Set([
  "blocks_blocker_id_foreign",
  "mutes_muter_id_foreign",
  "privacy_settings_user_id_foreign",
  "privacy_exceptions_user_id_foreign",
  "idempotency_keys_actor_id_foreign",
]);

/**
 * What a failed statement means to the layer above: the signal's reason after an abort, an unknown user, or
 * `UNAVAILABLE`, with the driver's error as the cause. Anything else comes back as it is.
 */
export function toStoreError(failure: unknown, signal?: AbortSignal): unknown {
  if (failure instanceof PrivacyError || failure instanceof UnknownActorError) return failure;
  if (signal?.aborted) return signal.reason;
  if (!(failure instanceof Error)) return failure;
  if (codeOf(failure) === foreignKeyViolation) {
    const { constraint } = failure as { constraint?: unknown };
    return foreignKeysOfActors.has(String(constraint))
      ? new UnknownActorError("the acting user was deleted", { cause: failure })
      : new PrivacyError("USER_NOT_FOUND", { cause: failure });
  }
  return failure instanceof UnusableServerError || has(failure, "unavailable") || isPlanStale(failure)
    ? new PrivacyError("UNAVAILABLE", { cause: failure })
    : failure;
}

/** Whether the server rolled the statement back, and would most likely run it another time: nothing was changed. */
export function isRolledBack(failure: unknown): boolean {
  return has(failure, "rolled back") || isPlanStale(failure);
}

/** Whether a prepared statement failed before it ran, because the columns of its result were altered since. */
export function isPlanStale(failure: unknown): boolean {
  // The message is in the language of the server.
  return (
    codeOf(failure) === "0A000" && (failure as { routine?: unknown }).routine === "RevalidateCachedQuery"
  );
}

/** Whether a connection must not be used again after this failure. */
export function isConnectionUnusable(failure: Error & { severity?: unknown }): boolean {
  return failure.severity === "FATAL" || has(failure, "unusable");
}

/** Whether a lock was refused, or not granted in time: nothing was changed. */
export function isLockRefused(failure: unknown): boolean {
  return has(failure, "lock refused");
}

/** Whether an open connection broke: nothing was changed, unless a commit was under way. */
export function isConnectionLost(failure: unknown): boolean {
  return has(failure, "lost");
}

function codeOf(failure: unknown): string {
  return failure instanceof Error && "code" in failure ? String(failure.code) : "";
}
