import { create, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import { toConnectError } from "../../call/errors.ts";
import { requestIdHeader } from "../../call/request-headers.ts";
import { validate } from "../../call/validate.ts";
import { type ErrorKind, type ErrorReason, errors, PrivacyError } from "../../domain/errors.ts";
import { errorReasonHeader, failureOf, retryableStatuses } from "../failure.ts";
import type { JsonObject } from "../message-json.ts";
import { checkMediaType, parseBody } from "../request-body.ts";
import type { Route } from "../routes.ts";

/** A failure that a route can answer, as it answers it. */
export interface FailureExample {
  readonly status: number;
  /** What names this example among those of its status. */
  readonly name: string;
  /** The reasons that come out as this answer. */
  readonly reasons: readonly string[];
  readonly body: JsonObject;
  /** The headers that come with it. */
  readonly headers: readonly string[];
  /** Whether routes of all methods answer the same. */
  readonly shared: boolean;
}

/** Kinds that depend on what a method does: its definition names their reasons. */
const methodKinds: ReadonlySet<ErrorKind> = new Set([
  "invalid",
  "already_exists",
  "not_found",
  "precondition",
  "out_of_range",
]);
/** Kinds that REST never answers: they are for services only, have another status, or the client has disconnected. */
const absentKinds: ReadonlySet<ErrorKind> = new Set(["forbidden", "unsupported", "cancelled"]);

/**
 * Makes the failures that a route can answer fail, one by one, and renders what comes of each. Throws when the
 * definition of its method names an unknown reason.
 */
export function failuresOf(route: Route, reasons: readonly string[], time: string): FailureExample[] {
  const { input } = route.endpoint.method;
  const ofMethod = reasons.map((reason) => {
    if (!isReason(reason)) throw new Error(`"${reason}" is no reason of an error`);
    return [reason, new PrivacyError(reason)] as const;
  });
  const general = Object.entries(errors)
    .filter(([, [kind]]) => !methodKinds.has(kind) && !absentKinds.has(kind))
    .map(([reason]) => [reason, new PrivacyError(reason as ErrorReason)] as const);
  const requestFaults = [
    ["INVALID_REQUEST", thrownBy(() => validate(input, invalidMessage(input)))],
    ["INVALID_REQUEST.unknown", thrownBy(() => route.reader.readQuery("unknown=1", create(input)))],
    ["INVALID_REQUEST.malformed", thrownBy(() => route.rule.body && parseBody(Buffer.from("{")))],
  ] as const;
  const mediaFaults = [
    ["UNSUPPORTED", thrownBy(() => checkMediaType({ headers: { "content-type": "text/plain" } }))],
  ] as const;
  return merge([
    ...[...ofMethod, ...requestFaults.filter(([, thrown]) => thrown !== undefined)].map(([name, thrown]) =>
      exampleOf(route, name, thrown, time),
    ),
    ...[...mediaFaults, ...general].map(([name, thrown]) => exampleOf(route, name, thrown, time, true)),
  ]);
}

function exampleOf(
  { format, reply }: Route,
  name: string,
  thrown: unknown,
  time: string,
  ofAnyCall = false,
): FailureExample {
  const error = toConnectError(thrown);
  const failure = failureOf(thrown, error);
  const { status, reason } = failure;
  const text = format.failure(failure, reply, time);
  return {
    status,
    name,
    reasons: [reason],
    body: JSON.parse(text),
    headers: [
      requestIdHeader,
      errorReasonHeader,
      ...error.metadata.keys(),
      ...(retryableStatuses.has(status) ? ["retry-after"] : []),
    ],
    shared: ofAnyCall && text === format.failure(failure, undefined, time),
  };
}

/** Merges failures with the same body into one. */
function merge(examples: readonly FailureExample[]): FailureExample[] {
  const groups = Map.groupBy(examples, ({ body }) => JSON.stringify(body)).values();
  return [...groups].flatMap((same) => {
    const [first] = same;
    return first ? { ...first, reasons: [...new Set(same.flatMap(({ reasons }) => reasons))] } : [];
  });
}

/** A message that breaks the rules of its strings and of the fields that must be set. */
function invalidMessage(desc: DescMessage): Message {
  const message = create(desc);
  for (const field of desc.fields) {
    if (field.scalar !== ScalarType.STRING) continue;
    Object.assign(message, { [field.localName]: field.fieldKind === "list" ? ["x"] : "x" });
  }
  return message;
}

function thrownBy(run: () => unknown): unknown {
  try {
    run();
    return undefined;
  } catch (failure) {
    return failure;
  }
}

function isReason(reason: string): reason is ErrorReason {
  return Object.hasOwn(errors, reason);
}
