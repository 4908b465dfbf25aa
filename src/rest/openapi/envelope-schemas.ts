import { Envelope, type Reply } from "../../../gen/nexgate/rest/v1/reply_pb.ts";
import type { JsonSchema } from "../json-schema.ts";

/** What the answers of one envelope look like. */
export interface EnvelopeSchemas {
  /** Begins the names of what only this envelope has. */
  readonly name: string;
  /** A success with its message, and the schema of its data when the method has any. */
  success(message: string, data: JsonSchema | undefined): JsonSchema;
  readonly failure: JsonSchema;
  /** The member of a failure that tells what went wrong. */
  readonly detail: string;
}

const messageField = { type: "string", description: "What happened, for people." };

const globe: EnvelopeSchemas = {
  name: "Globe",
  success: (message, data = { type: "null" }) =>
    globeObject(true, { httpStatus: { const: "OK" }, message: { const: message }, data }),
  failure: globeObject(false, {
    httpStatus: { type: "string", description: "The name of the HTTP status: `BAD_REQUEST`, `NOT_FOUND`..." },
    message: messageField,
    data: { type: "string", description: "The same as `message`." },
  }),
  detail: "message",
};

const status: EnvelopeSchemas = {
  name: "Status",
  success: (message, data) =>
    statusObject(true, {
      code: { const: 200 },
      message: { const: message },
      ...(data !== undefined && { data }),
    }),
  failure: statusObject(false, {
    code: { type: "integer", description: "The HTTP status." },
    message: { type: "string", description: "The name of the HTTP status: `Bad request`, `Not found`..." },
    error: messageField,
  }),
  detail: "error",
};

/** The schemas of the envelope that a method's option names. */
export function envelopeSchemas(reply: Reply): EnvelopeSchemas {
  return reply.envelope === Envelope.STATUS ? status : globe;
}

function globeObject(
  success: boolean,
  { httpStatus, message, data }: Record<"httpStatus" | "message" | "data", JsonSchema>,
): JsonSchema {
  const actionTime = {
    type: "string",
    format: "date-time",
    description: "When the answer was made, in UTC.",
  };
  return allRequired({ success: { const: success }, httpStatus, message, action_time: actionTime, data });
}

function statusObject(succeeded: boolean, rest: Record<string, JsonSchema>): JsonSchema {
  return allRequired({ status: { const: succeeded }, ...rest });
}

function allRequired(properties: Record<string, JsonSchema>): JsonSchema {
  return { type: "object", properties, required: Object.keys(properties) };
}
