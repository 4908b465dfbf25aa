import { Code, ConnectError } from "@connectrpc/connect";
import { type ErrorKind, type ErrorReason, PrivacyError } from "../domain/errors.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";

/** The `domain` of every `google.rpc.ErrorInfo` (AIP-193). */
export const errorDomain = "privacy.nexgate.com";

const codes: Record<ErrorKind, Code> = {
  invalid: Code.InvalidArgument,
  already_exists: Code.AlreadyExists,
  not_found: Code.NotFound,
  precondition: Code.FailedPrecondition,
  unauthenticated: Code.Unauthenticated,
  forbidden: Code.PermissionDenied,
  too_large: Code.ResourceExhausted,
  unsupported: Code.Unimplemented,
  unavailable: Code.Unavailable,
  deadline: Code.DeadlineExceeded,
  cancelled: Code.Canceled,
  internal: Code.Internal,
};

/** The reason of an error that Connect itself raises: it knows codes only. */
const reasonOfCode = new Map<Code, ErrorReason>([
  [Code.InvalidArgument, "INVALID_REQUEST"],
  [Code.ResourceExhausted, "REQUEST_TOO_LARGE"],
  [Code.Unimplemented, "UNSUPPORTED"],
  [Code.DeadlineExceeded, "DEADLINE_EXCEEDED"],
  [Code.Canceled, "CANCELLED"],
  [Code.Unavailable, "UNAVAILABLE"],
]);

/**
 * The one mapping from any failure to what goes on a wire. A `PrivacyError` keeps its reason and message; an error
 * of Connect gets the reason of its code; everything else becomes `INTERNAL` and says nothing of itself: its text is
 * in `cause`, for the log.
 */
export function toConnectError(failure: unknown): ConnectError {
  if (failure instanceof ConnectError) return withReason(failure);
  if (failure instanceof PrivacyError) return fromPrivacyError(failure);
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
  return mapped;
}

function withReason(error: ConnectError): ConnectError {
  if (reasonOf(error) !== undefined) return error;
  const reason = reasonOfCode.get(error.code);
  if (reason === undefined) return fromPrivacyError(new PrivacyError("INTERNAL", { cause: error }));
  error.details.push({ desc: ErrorInfoSchema, value: { reason, domain: errorDomain } });
  return error;
}
