import type { ConnectError } from "@connectrpc/connect";
import { reasonOf } from "../call/errors.ts";
import { reasonOfRejection, statusOf } from "../call/http-status.ts";
import { PrivacyError } from "../domain/errors.ts";

/** The response header that has the reason of a failure. */
export const errorReasonHeader = "x-error-reason";

/** The statuses that ask the client to try again soon (RFC 9110, 10.2.3). */
export const retryableStatuses: ReadonlySet<number> = new Set([429, 503]);

/** A failure before it is rendered in an envelope. */
export interface Failure {
  readonly status: number;
  readonly message: string;
  /** One of docs/errors.md: over gRPC and Connect that of the `google.rpc.ErrorInfo`. */
  readonly reason: string;
  /** What the gateway itself found wrong with the request. */
  readonly problem?: BadRequestProblem | undefined;
}

/** The failure of a call: what was thrown, and what the pipeline made of it. */
export function failureOf(thrown: unknown, error: ConnectError): Failure {
  const problem = thrown instanceof BadRequestError ? thrown.problem : undefined;
  const status = problem === "media_type" ? 415 : statusOf(error);
  return { status, message: error.rawMessage, reason: reasonOf(error) ?? reasonOfRejection(status), problem };
}

/** The failure of a request that reaches no method. */
export function statusFailure(status: number): Failure {
  return { status, message: statusPhrase(status), reason: reasonOfRejection(status) };
}

/** What is wrong with a request that the gateway itself refuses. */
export type BadRequestProblem =
  /** The body is no JSON object. */
  | "malformed"
  /** It names a field or parameter that does not exist there. */
  | "unknown"
  /** A field or parameter has a value that does not fit it. */
  | "type_mismatch"
  /** The body is of another media type or coding than plain JSON. */
  | "media_type";

/** A request that does not fit its rule, found before its method was called. The message is for the caller. */
export class BadRequestError extends PrivacyError {
  readonly problem: BadRequestProblem;

  constructor(problem: BadRequestProblem, message: string) {
    super(problem === "media_type" ? "UNSUPPORTED" : "INVALID_REQUEST", { message });
    this.problem = problem;
  }
}

/** Refuses a name that the request chose itself; only its beginning is repeated. */
export function unknownName(what: "field" | "query parameter", name: string): BadRequestError {
  return new BadRequestError("unknown", `Unknown ${what}: ${name.slice(0, 64)}`);
}

/** Refuses the value of a field or parameter, in the form of protovalidate's messages. */
export function typeMismatch(name: string, expected: string): BadRequestError {
  return new BadRequestError("type_mismatch", `${name} must ${expected}`);
}

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
  [422, "Unprocessable content"],
  [429, "Too many requests"],
  [431, "Request header fields too large"],
  [499, "Client closed request"],
  [500, "Internal server error"],
  [501, "Not implemented"],
  [503, "Service unavailable"],
  [504, "Gateway timeout"],
  [505, "HTTP version not supported"],
]);

/** The phrase of a status: `Bad request`. */
export function statusPhrase(status: number): string {
  return phrases.get(status) ?? "Internal server error";
}

/** The name of a status: `BAD_REQUEST`. */
export function statusName(status: number): string {
  return statusPhrase(status).toUpperCase().replaceAll(" ", "_");
}
