import { Code, type ConnectError } from "@connectrpc/connect";
import type { ErrorReason } from "../domain/errors.ts";
import { codeName, reasonOf } from "./errors.ts";

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
  ["IDEMPOTENCY_KEY_REUSED", 422],
]);

/** The code and the reason of a request that HTTP alone rejects: those of no other status ask for what is not offered. */
const rejections = new Map<number, readonly [Code, ErrorReason]>([
  [400, [Code.InvalidArgument, "INVALID_REQUEST"]],
  [404, [Code.NotFound, "UNSUPPORTED"]],
  [408, [Code.DeadlineExceeded, "DEADLINE_EXCEEDED"]],
  [413, [Code.ResourceExhausted, "REQUEST_TOO_LARGE"]],
  [431, [Code.ResourceExhausted, "REQUEST_TOO_LARGE"]],
  [500, [Code.Internal, "INTERNAL"]],
  [503, [Code.Unavailable, "UNAVAILABLE"]],
]);

/** The HTTP status of a code. */
export function statusOfCode(code: Code): number {
  return statuses[code];
}

/** The HTTP status of a failed call. */
export function statusOf(error: ConnectError): number {
  return statusOfReason.get(reasonOf(error) ?? "") ?? statuses[error.code];
}

/** The name of the code of a request that HTTP alone rejects with this status. */
export function codeOfRejection(status: number): string {
  return codeName(rejections.get(status)?.[0] ?? Code.Unimplemented);
}

/** The reason of a request that HTTP alone rejects with this status. */
export function reasonOfRejection(status: number): ErrorReason {
  return rejections.get(status)?.[1] ?? "UNSUPPORTED";
}
