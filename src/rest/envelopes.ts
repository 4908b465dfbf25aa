import { Envelope, type Reply } from "../../gen/nexgate/rest/v1/reply_pb.ts";
import { isoSeconds } from "./codec.ts";
import { errorReasonHeader, type Failure, statusFailure, statusName, statusPhrase } from "./failure.ts";

/** One of the documented JSON structures around replies. `time` is the `action_time`. */
export interface EnvelopeFormat {
  /** The text before the data; a `}` after it ends the reply. */
  beforeData(message: string, time: string): string;
  /** The whole reply of a method that has no data. */
  withoutData(message: string, time: string): string;
  /** The whole reply of a failure; `reply` is undefined when no method was reached. */
  failure(failure: Failure, reply: Reply | undefined, time: string): string;
}

/** The "Globe Response Builder" structure. */
export const globeEnvelope: EnvelopeFormat = {
  beforeData: (message, time) =>
    `{"success":true,"httpStatus":"OK","message":${JSON.stringify(message)},"action_time":"${time}","data":`,
  withoutData: (message, time) => `${globeEnvelope.beforeData(message, time)}null}`,
  failure: ({ status, message }, _reply, time) =>
    JSON.stringify({
      success: false,
      httpStatus: statusName(status),
      message,
      action_time: time,
      data: message,
    }),
};

/** The structure of the settings document. */
export const statusEnvelope: EnvelopeFormat = {
  beforeData: (message) => `{"status":true,"code":200,"message":${JSON.stringify(message)},"data":`,
  withoutData: (message) => JSON.stringify({ status: true, code: 200, message }),
  failure: (failure, reply) =>
    JSON.stringify({
      status: false,
      code: failure.status,
      message: statusPhrase(failure.status),
      error: detailOf(failure, reply),
    }),
};

/** The format that a method's option, or the lack of a method, asks for. */
export function formatOf(reply: Reply | undefined): EnvelopeFormat {
  return reply?.envelope === Envelope.STATUS ? statusEnvelope : globeEnvelope;
}

/** Renders a failure that is answered before the path of its request is known to belong to a method. */
export function renderFailure(status: number) {
  const failure = statusFailure(status);
  return {
    contentType: "application/json; charset=utf-8",
    headers: [[errorReasonHeader, failure.reason]] as const,
    body: globeEnvelope.failure(failure, undefined, isoSeconds(Date.now())),
  };
}

/** The `error` of the status envelope, as in the settings document. */
function detailOf({ status, message, reason, problem }: Failure, reply: Reply | undefined): string {
  if (status === 401)
    return reason === "TOKEN_REQUIRED" ? "Invalid or missing authentication" : "Invalid or expired JWT token";
  if (status === 500) return reply?.failureMessage || statusPhrase(500);
  if (problem === "malformed") return statusPhrase(400);
  if (problem === "type_mismatch" || (problem === undefined && reason === "INVALID_REQUEST"))
    return reply?.invalidRequestMessage || message;
  return message;
}
