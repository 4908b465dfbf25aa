import type { ConnectError } from "@connectrpc/connect";
import { reasonOf } from "../call/errors.ts";
import { reasonOfRejection, statusOf } from "../call/http-status.ts";
import { type Fault, Refusal } from "./refusal.ts";
import { phraseOf } from "./status.ts";

/** The response header that has the reason of a failure. */
export const errorReasonHeader = "x-error-reason";

/** A failure on its way into an envelope. */
export interface Failure {
  readonly status: number;
  readonly message: string;
  /** One of docs/errors.md: over gRPC and Connect that of the `google.rpc.ErrorInfo`. */
  readonly reason: string;
  /** What the gateway itself found wrong with the request. */
  readonly fault?: Fault | undefined;
}

/** The failure of a call: what was thrown, and what the pipeline made of it. */
export function failureOf(thrown: unknown, error: ConnectError): Failure {
  const fault = thrown instanceof Refusal ? thrown.fault : undefined;
  const status = fault === "media_type" ? 415 : statusOf(error);
  return { status, message: error.rawMessage, reason: reasonOf(error) ?? reasonOfRejection(status), fault };
}

/** The failure of a request that reaches no method. */
export function plainFailure(status: number): Failure {
  return { status, message: phraseOf(status), reason: reasonOfRejection(status) };
}
