import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { type ErrorKind, type ErrorReason, overloaded, PrivacyError } from "../domain/errors.ts";
import { errorDomain } from "../domain/wire-names.ts";

const codes: Record<ErrorKind, Code> = {
  invalid: Code.InvalidArgument,
  already_exists: Code.AlreadyExists,
  not_found: Code.NotFound,
  precondition: Code.FailedPrecondition,
  out_of_range: Code.OutOfRange,
  unauthenticated: Code.Unauthenticated,
  forbidden: Code.PermissionDenied,
  too_large: Code.ResourceExhausted,
  exhausted: Code.ResourceExhausted,
  unsupported: Code.Unimplemented,
  unavailable: Code.Unavailable,
  deadline: Code.DeadlineExceeded,
  cancelled: Code.Canceled,
  internal: Code.Internal,
};

/** Codes of errors that nobody raised for the caller to read. */
const faults = new Set([Code.Unknown, Code.Internal, Code.DataLoss]);

/** The reason of an error that Connect itself raises: it knows codes only. */
const reasonOfCode = new Map<Code, ErrorReason>([
  [Code.InvalidArgument, "INVALID_REQUEST"],
  [Code.ResourceExhausted, "REQUEST_TOO_LARGE"],
  [Code.Unimplemented, "UNSUPPORTED"],
  [Code.DeadlineExceeded, "DEADLINE_EXCEEDED"],
  [Code.Canceled, "CANCELLED"],
  [Code.Aborted, "CANCELLED"],
  [Code.Unavailable, "UNAVAILABLE"],
]);

const codeNames = new Map(
  Object.values(Code)
    .filter((code) => typeof code === "number")
    .map((code) => [code, Code[code].replace(/(?<!^)(?=[A-Z])/g, "_").toLowerCase()]),
);

/** The name of a code, as the log and the metrics spell it: `not_found`. */
export function codeName(code: Code): string {
  return codeNames.get(code) ?? "unknown";
}

/** The codes by which Node says that a request was cut off. */
const disconnects = new Set<unknown>(["ECONNRESET", "ERR_STREAM_PREMATURE_CLOSE"]);

/** Whether a request or an answer was cut off because its client has disconnected. */
export function isDisconnect(failure: unknown): boolean {
  return failure instanceof Error && "code" in failure && disconnects.has(failure.code);
}

/**
 * The failure to read a request: `CANCELLED` when its client has disconnected. Not to be used for a handler's failures:
 * a connection to the database may break with the same code.
 */
export function readFailure(failure: unknown): unknown {
  return isDisconnect(failure) ? new PrivacyError("CANCELLED", { cause: failure }) : failure;
}

/** Whether an error is that by which Connect aborts a call over HTTP/1.1 whose client disconnects before it has sent all. */
function isDisconnectOfHttp1({ code, cause }: ConnectError): boolean {
  return code === Code.Aborted && isDisconnect(cause);
}

const sendersFault = /^(?:parse binary: |received compressed envelope)/;

/**
 * The one mapping from any failure to what a transport writes. A `PrivacyError` keeps its reason and message; an error
 * of Connect gets the reason of its code, if it has one; everything else becomes `INTERNAL` and says nothing of itself: its text is
 * in `cause`, for the log.
 */
export function toConnectError(failure: unknown): ConnectError {
  if (failure instanceof ConnectError)
    return isDisconnectOfHttp1(failure)
      ? fromPrivacyError(new PrivacyError("CANCELLED", { cause: failure }))
      : withReason(failure);
  if (failure instanceof PrivacyError) return fromPrivacyError(failure);
  // The reason of a signal that was aborted without one: the client has disconnected.
  if (failure instanceof DOMException && failure.name === "AbortError")
    return fromPrivacyError(new PrivacyError("CANCELLED", { cause: failure }));
  return fromPrivacyError(new PrivacyError("INTERNAL", { cause: failure }));
}

/** The reason that an error carries in its `google.rpc.ErrorInfo`, undefined when it has none. */
export function reasonOf(error: ConnectError): string | undefined {
  return error.findDetails(ErrorInfoSchema).find((info) => info.domain === errorDomain)?.reason;
}

function fromPrivacyError(error: PrivacyError): ConnectError {
  const mapped = new ConnectError(
    error.message,
    codes[error.kind],
    undefined,
    [{ desc: ErrorInfoSchema, value: { reason: error.reason, domain: errorDomain } }],
    error.cause,
  );
  if (error.kind === "unauthenticated") {
    // RFC 9110, 11.6.1 wants a challenge with every 401; RFC 6750, 3.1 names the error only if a token was sent.
    const challenge = error.reason === "TOKEN_REQUIRED" ? "Bearer" : 'Bearer error="invalid_token"';
    mapped.metadata.set("www-authenticate", challenge);
  }
  if (error.retryAfter !== undefined) {
    // The header is for HTTP clients, the detail for clients of google.rpc (AIP-193).
    mapped.metadata.set("retry-after", String(error.retryAfter));
    const retryDelay = { seconds: BigInt(error.retryAfter) };
    mapped.details.push({ desc: RetryInfoSchema, value: { retryDelay } });
  }
  return mapped;
}

/** The most characters of a message: gRPC has it in headers, which clients and HTTP/2 limit. */
const maxMessageLength = 2_000;

function withReason(error: ConnectError): ConnectError {
  // The text of a parser may repeat any part of a request, and half a character, which cannot be a status message.
  const rawMessage = error.rawMessage.slice(0, maxMessageLength).toWellFormed();
  if (rawMessage !== error.rawMessage) Object.assign(error, { rawMessage });
  if (reasonOf(error) !== undefined) return error;
  if (isSendersFault(error)) {
    return withReason(new ConnectError(error.rawMessage, Code.InvalidArgument, error.metadata));
  }
  if (faults.has(error.code)) return fromPrivacyError(new PrivacyError("INTERNAL", { cause: error }));
  const reason = reasonOfCode.get(error.code);
  if (reason === undefined) return error;
  error.details.push({ desc: ErrorInfoSchema, value: { reason, domain: errorDomain } });
  return error;
}

/** Whether Connect calls its own fault what is that of whoever sent the bytes. */
function isSendersFault({ code, rawMessage, cause }: ConnectError): boolean {
  if (code !== Code.Internal) return false;
  // What was compressed ends too early.
  const isTruncated = cause instanceof Error && "code" in cause && cause.code === "Z_BUF_ERROR";
  return isTruncated || sendersFault.test(rawMessage);
}

/** The error of a call that is refused because the service has too much to do. */
export function overloadedError(): ConnectError {
  return toConnectError(overloaded());
}
