/** The kinds of failure that every transport distinguishes. */
export type ErrorKind =
  | "invalid"
  | "already_exists"
  | "not_found"
  | "precondition"
  | "out_of_range"
  | "unauthenticated"
  | "forbidden"
  | "too_large"
  | "exhausted"
  | "unsupported"
  | "unavailable"
  | "deadline"
  | "cancelled"
  | "internal";

/** Every failure that a caller can get, with its kind and the message for the caller. */
export const errors = {
  INVALID_REQUEST: ["invalid", "Invalid request"],
  INVALID_PAGE_TOKEN: ["invalid", "Invalid page token"],
  INVALID_ACTING_USER: ["invalid", "The x-acting-user metadata must be the UUID of a user"],
  CANNOT_BLOCK_SELF: ["invalid", "Cannot block yourself"],
  CANNOT_MUTE_SELF: ["invalid", "Cannot mute yourself"],
  CANNOT_FOLLOW_SELF: ["invalid", "Cannot follow yourself"],
  USER_ALREADY_BLOCKED: ["already_exists", "User already blocked"],
  USER_ALREADY_MUTED: ["already_exists", "User already muted"],
  USER_NOT_FOUND: ["not_found", "User not found"],
  FOLLOW_ACROSS_BLOCK: ["precondition", "A block stands between the two users"],
  TOO_MANY_EXCEPTIONS: ["precondition", "A setting can have at most 1000 exceptions"],
  IMPORT_GAP: ["precondition", "Records of the import before these are missing"],
  INVALID_CURSOR: ["invalid", "Invalid cursor"],
  CURSOR_EXPIRED: [
    "out_of_range",
    "The change log no longer reaches back to the cursor: start with a snapshot",
  ],
  HISTORY_CHANGED: ["precondition", "The database has lost the history of the cursor: start with a snapshot"],
  INVALID_CONSISTENCY_TOKEN: ["invalid", "Invalid consistency token"],
  INVALID_EXPIRY: ["invalid", "The expiry must be at least a minute and at most ten years ahead"],
  USER_NOT_BLOCKED: ["not_found", "User not blocked"],
  USER_NOT_MUTED: ["not_found", "User not muted"],
  INVALID_IDEMPOTENCY_KEY: ["invalid", "The idempotency key must have 1 to 255 printable ASCII characters"],
  IDEMPOTENCY_KEY_REUSED: ["precondition", "The idempotency key was used for another request"],
  TOKEN_REQUIRED: ["unauthenticated", "Authentication token is required"],
  TOKEN_MALFORMED: ["unauthenticated", "Malformed token"],
  TOKEN_INVALID: ["unauthenticated", "Invalid token"],
  TOKEN_EXPIRED: ["unauthenticated", "Token has expired"],
  SCOPE_MISSING: ["forbidden", "The token lacks the scope of this method"],
  RATE_LIMITED: ["exhausted", "Too many requests"],
  OVERLOADED: ["exhausted", "Too busy, try again soon"],
  REQUEST_TOO_LARGE: ["too_large", "The request is too large"],
  UNSUPPORTED: ["unsupported", "The request asks for something that the service does not support"],
  UNAVAILABLE: ["unavailable", "Temporarily unavailable, try again later"],
  DEADLINE_EXCEEDED: ["deadline", "The deadline was exceeded"],
  CANCELLED: ["cancelled", "The call was cancelled"],
  INTERNAL: ["internal", "Internal server error"],
} as const satisfies Record<string, readonly [ErrorKind, string]>;

/** The name of a failure; `error_reason.proto` documents each. */
export type ErrorReason = keyof typeof errors;

/**
 * The one error that domain, store and service throw on purpose. Its message is written for the caller and contains
 * nothing internal. `cause` is only logged.
 */
export class PrivacyError extends Error {
  readonly reason: ErrorReason;
  readonly kind: ErrorKind;
  /** In how many seconds the caller may try again. */
  readonly retryAfter: number | undefined;

  constructor(reason: ErrorReason, options?: { message?: string; cause?: unknown; retryAfter?: number }) {
    const [kind, message] = errors[reason];
    super(options?.message ?? message, { cause: options?.cause });
    this.name = "PrivacyError";
    this.reason = reason;
    this.kind = kind;
    this.retryAfter = options?.retryAfter;
  }
}

/** In how many seconds a caller may try again after a refusal for overload. */
const overloadRetryAfter = 1;

/** The error of a call that is refused because the service has too much to do. */
export function overloaded(): PrivacyError {
  return new PrivacyError("OVERLOADED", { retryAfter: overloadRetryAfter });
}

/**
 * The acting user is unknown. The error for the caller depends on how the call names that user, so this one never
 * reaches a transport.
 */
export class UnknownActorError extends Error {
  override readonly name = "UnknownActorError";
}
