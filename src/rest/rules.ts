import { type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import { http } from "../../gen/google/api/annotations_pb.ts";
import type { HttpRule } from "../../gen/google/api/http_pb.ts";
import { Envelope, type Reply, reply } from "../../gen/nexgate/rest/v1/reply_pb.ts";

/** The HTTP methods that a rule can name. */
type Verb = "GET" | "PUT" | "POST" | "DELETE" | "PATCH";

/** One binding of a `google.api.http` option, as written. */
export interface Rule {
  readonly verb: Verb;
  readonly template: string;
  /** `*`, a field of the request, or empty: no body. */
  readonly body: string;
  /** The field of the reply that becomes `data`; empty: none. */
  readonly responseBody: string;
}

const verbs = { get: "GET", put: "PUT", post: "POST", delete: "DELETE", patch: "PATCH" } as const;

/** The rules of a method: of its `google.api.http` option and of the `additional_bindings`. Throws for custom verbs. */
export function rulesOf(method: DescMethod): readonly Rule[] {
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

function read({ pattern, body, responseBody }: HttpRule): Rule {
  if (pattern.case === undefined || pattern.case === "custom")
    throw new Error("only get, put, post, delete and patch are supported");
  const verb = verbs[pattern.case];
  // RFC 9110, 9.3.1 and 9.3.5: content of GET and DELETE has no defined meaning.
  if (body !== "" && (verb === "GET" || verb === "DELETE")) throw new Error(`${verb} cannot have a body`);
  return { verb, template: pattern.value, body, responseBody };
}
