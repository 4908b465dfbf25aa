import type { Http1Answer } from "../support/http1-client.ts";

/** Text that only the inside of the service knows. */
const internal =
  /\bat \S+ \(|node:internal|\.ts:\d+|\/src\/|\/node_modules\/|\bselect \w+ from\b|postgres|pglite/i;

/** What is wrong with an answer, undefined when nothing is. */
export function faultOf({ status, headers, body }: Http1Answer, verb: string): string | undefined {
  const text = body.toString();
  if (status >= 500 && !isClientsFault(status, text)) return "an answer of 5xx";
  if (internal.test(text)) return "an answer tells of the inside";
  if (status < 400 || verb === "HEAD") return undefined;
  if (!/^application\/json(?:; charset=utf-8)?$/.test(headers["content-type"] ?? ""))
    return "an error that is no JSON";
  if (status === 405 && headers.allow === undefined) return "a 405 without Allow";
  if (status === 401 && headers["www-authenticate"] === undefined) return "a 401 without a challenge";
  try {
    return isEnvelope(JSON.parse(text), status) ? undefined : "an error without its envelope";
  } catch {
    return "an error that is no JSON";
  }
}

/** Streams over HTTP/1.1 (RFC 9110, 15.6.6), and what Connect's protocol calls unimplemented, an encoding say. */
function isClientsFault(status: number, text: string): boolean {
  return status === 505 || (status === 501 && text.startsWith('{"code":"unimplemented"'));
}

function isEnvelope(json: Record<string, unknown>, status: number): boolean {
  switch (Object.keys(json).join()) {
    case "success,httpStatus,message,action_time,data":
      return (
        json.success === false &&
        isText(json.httpStatus) &&
        isText(json.message) &&
        json.data === json.message
      );
    case "status,code,message,error":
      return json.status === false && json.code === status && isText(json.message) && isText(json.error);
    // Connect's own.
    case "code,message,details":
      return isText(json.code) && isText(json.message) && Array.isArray(json.details);
    default:
      return false;
  }
}

const isText = (value: unknown) => typeof value === "string" && value !== "";
