import { Envelope, type Reply } from "../../gen/nexgate/rest/v1/reply_pb.ts";
import { isoSeconds } from "./codec.ts";
import { errorReasonHeader, type Failure, plainFailure } from "./failure.ts";
import { nameOf, phraseOf } from "./status.ts";

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
export const globe: EnvelopeFormat = {
  beforeData: (message, time) =>
    `{"success":true,"httpStatus":"OK","message":${JSON.stringify(message)},"action_time":"${time}","data":`,
  withoutData: (message, time) => `${globe.beforeData(message, time)}null}`,
  failure: ({ status, message }, _reply, time) =>
    JSON.stringify({
      success: false,
      httpStatus: nameOf(status),
      message,
      action_time: time,
      data: message,
    }),
};

/** The structure of the settings document. */
export const status: EnvelopeFormat = {
  beforeData: (message) => `{"status":true,"code":200,"message":${JSON.stringify(message)},"data":`,
  withoutData: (message) => JSON.stringify({ status: true, code: 200, message }),
  failure: (failure, reply) =>
    JSON.stringify({
      status: false,
      code: failure.status,
      message: phraseOf(failure.status),
      error: detailOf(failure, reply),
    }),
};

/** The format that a method's option, or the lack of a method, asks for. */
export function formatOf(reply: Reply | undefined): EnvelopeFormat {
  return reply?.envelope === Envelope.STATUS ? status : globe;
}

/** Renders a failure that is answered before the path of its request is known to belong to a method. */
export function renderFailure(status: number) {
  const failure = plainFailure(status);
  return {
    contentType: "application/json; charset=utf-8",
    headers: [[errorReasonHeader, failure.reason]] as const,
    body: globe.failure(failure, undefined, isoSeconds(Date.now())),
  };
}

/** The `error` of the status envelope, as the settings document words it. */
function detailOf({ status, message, reason, fault }: Failure, reply: Reply | undefined): string {
  if (status === 401)
    return reason === "TOKEN_REQUIRED" ? "Invalid or missing authentication" : "Invalid or expired JWT token";
  if (status === 500) return reply?.failureMessage || phraseOf(500);
  if (fault === "malformed") return phraseOf(400);
  if (fault === "misfit" || (fault === undefined && reason === "INVALID_REQUEST"))
    return reply?.invalidRequestMessage || message;
  return message;
}
