import { Code, type ConnectError } from "@connectrpc/connect";
import { reasonOf } from "../call/errors.ts";
import type { ErrorReason } from "../domain/errors.ts";

/** The HTTP status of every code, after google.rpc.Code; AlreadyExists and Aborted as the documents have them. */
const statuses: Record<Code, number> = {
  [Code.Canceled]: 499,
  [Code.Unknown]: 500,
  [Code.InvalidArgument]: 400,
  [Code.DeadlineExceeded]: 504,
  [Code.NotFound]: 404,
  [Code.AlreadyExists]: 400,
  [Code.PermissionDenied]: 403,
  [Code.ResourceExhausted]: 429,
  [Code.FailedPrecondition]: 400,
  [Code.Aborted]: 409,
  [Code.OutOfRange]: 400,
  [Code.Unimplemented]: 501,
  [Code.Internal]: 500,
  [Code.Unavailable]: 503,
  [Code.DataLoss]: 500,
  [Code.Unauthenticated]: 401,
};

/** The reasons that HTTP tells apart where gRPC has one code. */
const statusOfReason = new Map([
  ["REQUEST_TOO_LARGE", 413],
  ["OVERLOADED", 503],
]);

/** The reasons of what HTTP alone refuses. Whatever else it refuses asks for something that is not offered. */
const reasonOfStatus = new Map<number, ErrorReason>([
  [400, "INVALID_REQUEST"],
  [408, "DEADLINE_EXCEEDED"],
  [413, "REQUEST_TOO_LARGE"],
  [431, "REQUEST_TOO_LARGE"],
  [500, "INTERNAL"],
  [503, "UNAVAILABLE"],
]);

/** What statuses are called (RFC 9110 and 6585; 499 is nginx's), in the casing of the documents. */
const phrases = new Map([
  [200, "OK"],
  [400, "Bad request"],
  [401, "Unauthorized"],
  [403, "Forbidden"],
  [404, "Not found"],
  [405, "Method not allowed"],
  [408, "Request timeout"],
  [409, "Conflict"],
  [413, "Content too large"],
  [415, "Unsupported media type"],
  [417, "Expectation failed"],
  [429, "Too many requests"],
  [431, "Request header fields too large"],
  [499, "Client closed request"],
  [500, "Internal server error"],
  [501, "Not implemented"],
  [503, "Service unavailable"],
  [504, "Gateway timeout"],
  [505, "HTTP version not supported"],
]);

/** The HTTP status of a code. */
export function statusOfCode(code: Code): number {
  return statuses[code];
}

/** The HTTP status of a failed call. */
export function statusOf(error: ConnectError): number {
  return statusOfReason.get(reasonOf(error) ?? "") ?? statuses[error.code];
}

/** The reason of a failure that no method has given one. */
export function plainReason(status: number): ErrorReason {
  return reasonOfStatus.get(status) ?? "UNSUPPORTED";
}

/** The phrase of a status: `Bad request`. */
export function phraseOf(status: number): string {
  return phrases.get(status) ?? "Internal server error";
}

/** The name of a status: `BAD_REQUEST`. */
export function nameOf(status: number): string {
  return phraseOf(status).toUpperCase().replaceAll(" ", "_");
}
