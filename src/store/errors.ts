import { PrivacyError, UnknownActorError } from "../domain/errors.ts";
import { UnusableServerError } from "./server-state.ts";

const unknownActor = new Set([
  "blocks_blocker_id_foreign",
  "mutes_muter_id_foreign",
  "privacy_settings_user_id_foreign",
  "privacy_exceptions_user_id_foreign",
]);

const foreignKeyViolation = "23503";

const rolledBackStates = new Set(["40001", "40P01"]);
const featureNotSupported = "0A000";
// Behind a pooler: another client has prepared the name, or this client has prepared it on another connection.
const foreignStatementStates = new Set(["42P05", "26000"]);
// Read-only server, shutdown, crash, start-up, connection failures, and a transaction that was left open.
const unusableState = /^(25006|25P02|57P0[123]|08...)$/;
const lostStates = new Set(["57P01", "57P02", "08006", "ECONNRESET", "EPIPE"]);
// The driver gives these no code. With the last two it never sent the statement.
const lostMessages = [
  "Connection terminated unexpectedly",
  "Client has encountered a connection error and is not queryable",
  "Client was closed and is not queryable",
];

// By class: connection, authorization, resources, operator; then single conditions that pass by themselves.
const unavailableState =
  /^(08...|28...|53...|57P..|57014|55P03|40001|40P01|25P0[23]|25006|3D000|42P05|26000)$/;

const unavailableSystemCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EHOSTDOWN",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENOENT",
]);

// The drivers give these no code.
const unavailableMessages = [
  "timeout exceeded when trying to connect",
  "timeout expired",
  "Connection terminated",
  "Query read timeout",
  "Client has encountered a connection error and is not queryable",
  "Client was closed and is not queryable",
  "Cannot use a pool after calling end on the pool",
  "driver has already been destroyed",
  "PGlite is closed",
  "PGlite is closing",
];

/**
 * What a failed statement means to the layer above: the signal's reason after an abort, an unknown user, or
 * `UNAVAILABLE`, with the driver's error as the cause. Anything else comes back as it is.
 */
export function toStoreError(failure: unknown, signal?: AbortSignal): unknown {
  if (failure instanceof PrivacyError || failure instanceof UnknownActorError) return failure;
  if (signal?.aborted) return signal.reason;
  if (!(failure instanceof Error)) return failure;
  const { code, constraint } = failure as { code?: unknown; constraint?: unknown };
  if (code === foreignKeyViolation) {
    return unknownActor.has(String(constraint))
      ? new UnknownActorError("the acting user was deleted", { cause: failure })
      : new PrivacyError("USER_NOT_FOUND", { cause: failure });
  }
  return failure instanceof UnusableServerError ||
    isUnavailable(String(code), failure.message) ||
    isPlanStale(failure)
    ? new PrivacyError("UNAVAILABLE", { cause: failure })
    : failure;
}

function isUnavailable(code: string, message: string): boolean {
  return (
    unavailableState.test(code) ||
    unavailableSystemCodes.has(code) ||
    unavailableMessages.some((start) => message.startsWith(start))
  );
}

/** Whether the server rolled the statement back, and would most likely run it another time: nothing was changed. */
export function isRolledBack(failure: unknown): boolean {
  return rolledBackStates.has(codeOf(failure)) || isPlanStale(failure);
}

/** Whether a prepared statement failed before it ran, because the columns of its result were altered since. */
export function isPlanStale(failure: unknown): boolean {
  if (codeOf(failure) !== featureNotSupported) return false;
  // The message is in the language of the server.
  return (failure as { routine?: unknown }).routine === "RevalidateCachedQuery";
}

/**
 * Whether a connection must not be used again after this failure: the server is not a primary, ends the connection, or
 * may still be busy with the statement; or a pooler has changed the server connection behind it.
 */
export function isConnectionUnusable(failure: Error & { severity?: unknown }): boolean {
  const code = codeOf(failure);
  return (
    failure.severity === "FATAL" ||
    failure.message === "Query read timeout" ||
    unusableState.test(code) ||
    foreignStatementStates.has(code)
  );
}

/** Whether a lock was refused, or not granted in time: nothing was changed. */
export function isLockRefused(failure: unknown): boolean {
  return codeOf(failure) === "55P03";
}

/** Whether an open connection broke: nothing was changed, unless a commit was under way. */
export function isConnectionLost(failure: unknown): boolean {
  return (
    lostStates.has(codeOf(failure)) ||
    (failure instanceof Error && lostMessages.some((start) => failure.message.startsWith(start)))
  );
}

function codeOf(failure: unknown): string {
  return failure instanceof Error && "code" in failure ? String(failure.code) : "";
}
