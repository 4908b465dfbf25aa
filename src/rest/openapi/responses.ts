import { type DescEnum, getOption } from "@bufbuild/protobuf";
import { documentation } from "../../../gen/nexgate/rest/v1/documentation_pb.ts";
import { Envelope, type Reply } from "../../../gen/nexgate/rest/v1/reply_pb.ts";
import { type JsonSchema, upperSnake } from "../codec.ts";
import { statusPhrase } from "../failure.ts";
import type { JsonObject } from "../message-json.ts";
import { fieldOf } from "../request-reader.ts";
import type { Route } from "../routes.ts";
import { type FailureExample, failuresOf } from "./failures.ts";
import { exampleReply } from "./operation.ts";
import { describe, type Schemas } from "./schemas.ts";

const headerTexts: Readonly<Record<string, string>> = {
  "consistency-token":
    "Names the change, for services that are to decide no earlier than it: opaque, without a meaning for the client.",
  etag: "The weak tag of the data. Sent back in `If-None-Match` it saves the answer while the data are the same.",
  link: 'Leads to the next page (RFC 8288, `rel="next"`). Absent on the last page and with complete lists.',
  "retry-after": "How many seconds to wait before the next try.",
  "www-authenticate": "The challenge of a 401 (RFC 6750).",
  "x-error-reason":
    "The reason of the failure, for programs. Reasons are never renamed; new ones may be added.",
  "x-request-id":
    "Names the call in the service's log: the request's own `X-Request-Id` when that is well-formed, else a new id.",
};

/** What the descriptions of all answers share. */
export interface ResponseContext {
  readonly schemas: Schemas;
  /** The enum whose values document the reasons of errors. */
  readonly reasons: DescEnum;
  /** The `action_time` of examples. */
  readonly time: string;
  /** Collects the answers to which others refer, by name. */
  readonly shared: Record<string, JsonObject>;
}

/** Describes all that a route answers, by status. */
export function responsesOf(route: Route, context: ResponseContext): JsonObject {
  const { errorReasons } = getOption(route.endpoint.method, documentation);
  const failures = Map.groupBy(failuresOf(route, errorReasons, context.time), ({ status }) => status);
  const described = [...failures].map(([status, examples]) => {
    const response = failure(route, status, examples, context);
    if (!examples.every(({ shared }) => shared)) return [status, response];
    const name =
      envelopeSchemas(route.reply).name + statusPhrase(status).replaceAll(/ (.)/g, (_, c) => c.toUpperCase());
    context.shared[name] = response;
    return [status, { $ref: `#/components/responses/${name}` }];
  });
  return {
    200: success(route, context),
    ...(route.hasTag && { 304: notModified }),
    ...Object.fromEntries(described),
  };
}

function success(route: Route, { schemas, time }: ResponseContext): JsonObject {
  const { rule, reply, endpoint } = route;
  const data =
    rule.responseBody === ""
      ? undefined
      : schemas.ofReply(fieldOf(endpoint.method.output, rule.responseBody));
  const example = exampleReply(route, time);
  return {
    description: reply.successMessage,
    headers: {
      ...(rule.verb !== "GET" && { "Consistency-Token": header("consistency-token", true) }),
      ...(route.list !== undefined && { Link: header("link") }),
      ...(route.hasTag && { ETag: header("etag", true) }),
      "X-Request-Id": header("x-request-id", true),
    },
    content: {
      "application/json": {
        schema: envelopeSchemas(reply).success(reply.successMessage, data),
        ...(example !== undefined && { example }),
      },
    },
  };
}

const notModified: JsonObject = {
  description: "Not modified: the data have the tag that `If-None-Match` names.",
  headers: { ETag: header("etag", true), "X-Request-Id": header("x-request-id", true) },
};

function failure(
  { reply }: Route,
  status: number,
  examples: readonly FailureExample[],
  { schemas, reasons }: ResponseContext,
): JsonObject {
  const { name, failure: schema, detail } = envelopeSchemas(reply);
  const headers = new Set(examples.flatMap((example) => example.headers));
  return {
    description: statusPhrase(status),
    headers: Object.fromEntries([...headers].map((lower) => [titleCase(lower), header(lower, true)])),
    content: {
      "application/json": {
        schema: schemas.refer(`${name}Failure`, schema, () => schema),
        examples: Object.fromEntries(
          examples.map((example) => [
            example.name,
            {
              summary: example.body[detail],
              ...describe(example.reasons.map((reason) => reasonText(reason, schemas, reasons)).join("\n\n")),
              value: example.body,
            },
          ]),
        ),
      },
    },
  };
}

/** What the definition of errors says of a reason, without its gRPC code. */
function reasonText(reason: string, { comments }: Schemas, reasons: DescEnum): string {
  const value = reasons.values.find(({ name }) => name === `${upperSnake(reasons.name)}_${reason}`);
  const text = value && comments.of(value)?.replace(/ `\d{3}`.*$/s, "");
  return `\`${reason}\`${text === undefined ? "" : `: ${text}`}`;
}

function header(name: string, required = false): JsonObject {
  return { ...describe(headerTexts[name]), ...(required && { required }), schema: { type: "string" } };
}

function titleCase(header: string): string {
  return header.replaceAll(/(?<=^|-)[a-z]/g, (letter) => letter.toUpperCase()).replace("Www", "WWW");
}

/** What the answers of one envelope look like. */
interface EnvelopeSchemas {
  /** Begins the names of what only this envelope has. */
  readonly name: string;
  /** A success with its message, and the schema of its data when the method has any. */
  success(message: string, data: JsonSchema | undefined): JsonSchema;
  readonly failure: JsonSchema;
  /** The member of a failure with the message for people. */
  readonly detail: string;
}

const messageField = { type: "string", description: "What happened, for people." };
const actionTime = { type: "string", format: "date-time", description: "When the answer was made, in UTC." };
const statusNameField = (examples: string) => ({
  type: "string",
  description: `The name of the HTTP status: ${examples}...`,
});

const globe: EnvelopeSchemas = {
  name: "Globe",
  success: (message, data = { type: "null" }) =>
    allRequired({
      success: { const: true },
      httpStatus: { const: "OK" },
      message: { const: message },
      action_time: actionTime,
      data,
    }),
  failure: allRequired({
    success: { const: false },
    httpStatus: statusNameField("`BAD_REQUEST`, `NOT_FOUND`"),
    message: messageField,
    action_time: actionTime,
    data: { type: "string", description: "The same as `message`." },
  }),
  detail: "message",
};

const status: EnvelopeSchemas = {
  name: "Status",
  success: (message, data) =>
    allRequired({
      status: { const: true },
      code: { const: 200 },
      message: { const: message },
      ...(data !== undefined && { data }),
    }),
  failure: allRequired({
    status: { const: false },
    code: { type: "integer", description: "The HTTP status." },
    message: statusNameField("`Bad request`, `Not found`"),
    error: messageField,
  }),
  detail: "error",
};

/** The schemas of the envelope that a method's option names. */
function envelopeSchemas(reply: Reply): EnvelopeSchemas {
  return reply.envelope === Envelope.STATUS ? status : globe;
}

function allRequired(properties: Record<string, JsonSchema>): JsonSchema {
  return { type: "object", properties, required: Object.keys(properties) };
}
