import { type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import { http } from "../../gen/google/api/annotations_pb.ts";
import type { HttpRule as HttpRuleOption } from "../../gen/google/api/http_pb.ts";
import { Envelope, type Reply, reply } from "../../gen/nexgate/rest/v1/reply_pb.ts";

/** The HTTP methods that a rule can name, in the order in which `Allow` has them. */
export const verbs = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;

type Verb = (typeof verbs)[number];

/** One of the rules of a `google.api.http` option, as written. */
export interface HttpRule {
  readonly verb: Verb;
  readonly template: string;
  /** `*`, a field of the request, or empty: no body. */
  readonly body: string;
  /** The field of the reply that becomes `data`; empty: none. */
  readonly responseBody: string;
}

/** The rules of a method: of its `google.api.http` option and of the `additional_bindings`. Throws for custom verbs. */
export function httpRulesOf(method: DescMethod): readonly HttpRule[] {
  if (!hasOption(method, http)) return [];
  const rule = getOption(method, http);
  return [rule, ...rule.additionalBindings].map(read);
}

/** The `(nexgate.rest.v1.reply)` of a method; throws when it names no envelope. */
export function replyOf(method: DescMethod): Reply {
  const option = getOption(method, reply);
  if (option.envelope !== Envelope.GLOBE && option.envelope !== Envelope.STATUS)
    throw new Error("(nexgate.rest.v1.reply) names no known envelope");
  return option;
}

function read({ pattern, body, responseBody }: HttpRuleOption): HttpRule {
  if (pattern.case === undefined || pattern.case === "custom")
    throw new Error("only get, put, post, delete and patch are supported");
  const verb = pattern.case.toUpperCase() as Verb;
  // RFC 9110, 9.3.1 and 9.3.5: content of GET and DELETE has no defined meaning.
  if (body !== "" && (verb === "GET" || verb === "DELETE")) throw new Error(`${verb} cannot have a body`);
  return { verb, template: pattern.value, body, responseBody };
}

/** One segment of a path template: fixed text, or the request field that takes the segment. */
export type Segment = { readonly literal: string } | { readonly field: string };

const literal = /^[A-Za-z0-9._~-]+$/;
const variable = /^\{([A-Za-z_][A-Za-z0-9_]*)(?:=\*)?\}$/;

/**
 * Parses the path template of a `google.api.http` rule. Literals of unreserved characters, `{field}` and `{field=*}`
 * are supported; throws for the rest of the grammar: nested field paths, bare wildcards, `**`, patterns of several
 * segments, custom verbs.
 */
export function parseTemplate(template: string): readonly Segment[] {
  if (!template.startsWith("/")) throw new Error("the path must begin with /");
  const segments = template.slice(1).split("/").map(parseSegment);
  const fields = segments.flatMap((segment) => ("field" in segment ? [segment.field] : []));
  const twice = fields.find((field, index) => fields.indexOf(field) !== index);
  if (twice !== undefined) throw new Error(`the path binds "${twice}" twice`);
  return segments;
}

/** The path of a template with its fields filled in, percent-encoded. */
export function fillTemplate(segments: readonly Segment[], values: readonly string[]): string {
  let next = 0;
  return segments
    .map((segment) => `/${"literal" in segment ? segment.literal : encodeURIComponent(values[next++] ?? "")}`)
    .join("");
}

function parseSegment(text: string): Segment {
  if (literal.test(text)) return { literal: text };
  const field = variable.exec(text)?.[1];
  if (field === undefined) throw new Error(`the path segment "${text}" is not supported`);
  return { field };
}
