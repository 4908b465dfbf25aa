import { PrivacyError } from "../domain/errors.ts";

/** What is wrong with a request that the gateway itself refuses. */
export type Fault =
  /** The body is no JSON object. */
  | "malformed"
  /** It names a field or parameter that does not exist there. */
  | "unknown"
  /** A field or parameter has a value that does not fit it. */
  | "misfit"
  /** The body is of another media type or coding than plain JSON. */
  | "media_type";

/** A request that does not fit its rule, found before its method was called. The message is for the caller. */
export class Refusal extends PrivacyError {
  readonly fault: Fault;

  constructor(fault: Fault, message: string) {
    super(fault === "media_type" ? "UNSUPPORTED" : "INVALID_REQUEST", { message });
    this.fault = fault;
  }
}

/** Refuses a name that the request chose itself; only its beginning is repeated. */
export function unknownName(what: "field" | "query parameter", name: string): Refusal {
  return new Refusal("unknown", `Unknown ${what}: ${name.slice(0, 64)}`);
}

/** Refuses the value of a field or parameter, in the form of protovalidate's messages. */
export function misfit(name: string, expected: string): Refusal {
  return new Refusal("misfit", `${name} must ${expected}`);
}
