import {
  create,
  type DescField,
  type DescMessage,
  getOption,
  hasOption,
  type Message,
} from "@bufbuild/protobuf";
import { documentation, example } from "../../../gen/nexgate/rest/v1/documentation_pb.ts";
import { fieldsAtFault, validate } from "../../call/validate.ts";
import type { ErrorReason } from "../../domain/errors.ts";
import { isJsonObject, type JsonObject, messageReader } from "../message-json.ts";
import { fieldOf } from "../request-reader.ts";
import type { Route } from "../routes.ts";
import { type ResponseContext, responsesOf } from "./responses.ts";
import { describe, type Schemas } from "./schemas.ts";

const mergePatch =
  "A JSON merge patch (RFC 7396): a member that is null clears what it names, one that is missing changes nothing.";

const ifNoneMatch: JsonObject = {
  name: "If-None-Match",
  in: "header",
  required: false,
  description:
    "The `ETag` of an earlier answer: while the data are the same the answer is 304, without a body.",
  schema: { type: "string" },
};

/** Headers of requests, by the reason of the failure that a bad one causes: a method with the reason reads the header. */
const headersByReason: { readonly [Reason in ErrorReason]?: JsonObject } = {
  INVALID_IDEMPOTENCY_KEY: {
    name: "Idempotency-Key",
    in: "header",
    required: false,
    description:
      "Makes the request repeatable: for 24 hours a request with the same key gets the answer of the first one. " +
      "Choose a new key, such as a random UUID, for each request that is not a repetition.",
    schema: { type: "string", minLength: 1, maxLength: 255, pattern: "^[ -~]+$" },
  },
};

/**
 * Describes one of the routes of a method. An alias, which takes the same fields at the same places as an earlier route,
 * names the operation of that one in `x-alias-of`.
 */
export function operationOf(route: Route, ofMethod: readonly Route[], context: ResponseContext): JsonObject {
  const { schemas } = context;
  const { method } = route.endpoint;
  const { group, exampleRequest: json, errorReasons } = getOption(method, documentation);
  const example = exampleRequest(method, json);
  const required = requiredFields(method.input);
  const original = originalOf(route, ofMethod);
  const isAlias = original !== route;
  const body = bodyOf(route, example, required, schemas);
  return {
    ...(group !== "" && { tags: [group] }),
    operationId: operationId(route, ofMethod),
    ...(isAlias && { "x-alias-of": operationId(original, ofMethod) }),
    summary: sentenceCase(method.name),
    ...describe(
      isAlias
        ? `The same as \`${original.rule.verb} ${documentedPath(original)}\`.`
        : schemas.comments.of(method),
    ),
    parameters: [
      ...parametersOf(route, example, required, schemas),
      ...errorReasons.flatMap((reason) => headersByReason[reason as ErrorReason] ?? []),
      ...(route.hasTag ? [ifNoneMatch] : []),
    ],
    ...(body !== undefined && { requestBody: body }),
    responses: responsesOf(route, context),
  };
}

/** The name of the operation of a route: its method's, with a number for all but the first route. */
function operationId(route: Route, ofMethod: readonly Route[]): string {
  const index = ofMethod.indexOf(route);
  return lowerFirst(route.endpoint.method.name) + (index > 0 ? index + 1 : "");
}

/** The first of the routes of a method that takes the same fields from the same places as this one: maybe this one. */
export function originalOf(route: Route, ofMethod: readonly Route[]): Route {
  return ofMethod.find((other) => placesOf(other) === placesOf(route)) ?? route;
}

/** Tells which fields a route takes from where. */
function placesOf({ rule: { verb }, reader: { inPath, inQuery, inBody } }: Route): string {
  const names = (fields: readonly DescField[]) => fields.map(({ name }) => name);
  return JSON.stringify([verb, names(inPath), names(inQuery), names([inBody].flat())]);
}

/** The path of a route as it is described: with the JSON names of its fields. */
export function documentedPath({ segments, reader }: Route): string {
  const fields = reader.inPath.values();
  return segments
    .map((segment) => ("literal" in segment ? `/${segment.literal}` : `/{${fields.next().value?.jsonName}}`))
    .join("");
}

function parametersOf(
  { reader, list }: Route,
  example: JsonObject,
  required: ReadonlySet<DescField>,
  schemas: Schemas,
): JsonObject[] {
  const parameter = (field: DescField, name: string, location: { in: string; required: boolean }) => {
    const { description, ...schema } = schemas.ofRequest(field);
    return {
      name,
      ...location,
      ...(description !== undefined && { description }),
      schema,
      ...(Object.hasOwn(example, field.jsonName) && { example: example[field.jsonName] }),
    };
  };
  return [
    ...reader.inPath.map((field) => parameter(field, field.jsonName, { in: "path", required: true })),
    // By their proto names in lists, as the links to next pages spell them.
    ...reader.inQuery.map((field) =>
      parameter(field, list === undefined ? field.jsonName : field.name, {
        in: "query",
        required: required.has(field),
      }),
    ),
  ];
}

function bodyOf(
  { reader: { inBody, isMergePatch }, endpoint }: Route,
  example: JsonObject,
  required: ReadonlySet<DescField>,
  schemas: Schemas,
): JsonObject | undefined {
  if (!isFields(inBody)) {
    const content = { schema: schemas.ofRequest(inBody), example: example[inBody.jsonName] };
    return { required: required.has(inBody), content: { "application/json": content } };
  }
  if (inBody.length === 0) return undefined;
  const needed = new Set(inBody.filter((field) => required.has(field)));
  const shown = inBody.filter((field) => Object.hasOwn(example, field.jsonName));
  return {
    ...(isMergePatch && describe(mergePatch)),
    required: needed.size > 0,
    content: {
      "application/json": {
        schema: schemas.requestObject(endpoint.method.input, inBody, needed, isMergePatch),
        // Without a body of its own the example is what a request without a body means.
        ...((shown.length > 0 || needed.size === 0) && {
          example: Object.fromEntries(shown.map(({ jsonName }) => [jsonName, example[jsonName]])),
        }),
      },
    },
  };
}

function isFields(body: DescField | readonly DescField[]): body is readonly DescField[] {
  return Array.isArray(body);
}

/** The fields without which a message breaks its rules. */
function requiredFields(desc: DescMessage): ReadonlySet<DescField> {
  return fieldsAtFault(desc, create(desc));
}

function sentenceCase(name: string): string {
  return name.replaceAll(/(?<!^)[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function lowerFirst(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1);
}

/** The fields of the example request of a method. Throws when its JSON does not fit the request message. */
function exampleRequest({ input }: { input: DescMessage }, json: string): JsonObject {
  const fields = parseObject(json === "" ? "{}" : json);
  const message = create(input);
  messageReader(input)(fields, "", message);
  if (json !== "") validate(input, message);
  return fields;
}

/** The whole answer of a call that went well, rendered as any other; undefined when its data has no example. */
export function exampleReply(route: Route, time: string): unknown {
  const { format, reply, rule, endpoint, writeData } = route;
  if (writeData === undefined) return JSON.parse(format.withoutData(reply.successMessage, time));
  const responseField = fieldOf(endpoint.method.output, rule.responseBody);
  const examples = examplesOf(responseField);
  if (examples.length === 0) return undefined;
  const message = create(endpoint.method.output);
  const value = responseField.fieldKind === "list" ? examples : examples[0];
  Object.assign(message, { [responseField.localName]: value });
  return JSON.parse(`${format.beforeData(reply.successMessage, time)}${writeData(message)}}`);
}

/** The examples of the message of a field. Throws when their JSON does not fit it. */
function examplesOf({ message: desc }: DescField): Message[] {
  if (desc === undefined || !hasOption(desc, example)) return [];
  return getOption(desc, example).map((json) => {
    const message = create(desc);
    messageReader(desc)(parseReply(json), "", message);
    validate(desc, message);
    return message;
  });
}

/** Parses an object of a reply, in which null is the value of what is absent. */
function parseReply(json: string): JsonObject {
  return parseObject(json, (_, value) => (value === null ? undefined : value));
}

function parseObject(json: string, revive?: Parameters<typeof JSON.parse>[1]): JsonObject {
  const value: unknown = JSON.parse(json, revive);
  if (!isJsonObject(value)) throw new Error(`the example ${json} is no JSON object`);
  return value;
}
