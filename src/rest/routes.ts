import type { DescMethod, Message } from "@bufbuild/protobuf";
import type { Reply } from "../../gen/nexgate/rest/v1/reply_pb.ts";
import type { CallPipeline } from "../call/pipeline.ts";
import type { UnaryEndpoint } from "../call/service.ts";
import { type Binding, bindRequest, fieldOf } from "./binding.ts";
import { type EnvelopeFormat, formatOf } from "./envelopes.ts";
import { fieldWriter } from "./json-writer.ts";
import { type ListShape, listShape } from "./list.ts";
import { type Rule, replyOf, rulesOf } from "./rules.ts";
import { parseTemplate, type Segment } from "./template.ts";

/** One rule, compiled: everything that a request at its path needs. */
export interface Route {
  readonly rule: Rule;
  readonly segments: readonly Segment[];
  readonly endpoint: UnaryEndpoint;
  readonly reply: Reply;
  readonly format: EnvelopeFormat;
  readonly binding: Binding;
  /** Writes the `response_body` part of a reply; undefined when the rule has none. */
  readonly writeData: ((reply: Message) => string) | undefined;
  /** Set when the route is a list of AIP-158 that answers completely when no page is asked for. */
  readonly list: ListShape | undefined;
  /** Whether a reply has an entity tag: what is read, except for lists. */
  readonly hasTag: boolean;
}

/** Compiles the rules of all services. Throws an `Error` that names the method and the rule which cannot be served. */
export function compileRoutes(calls: CallPipeline): readonly Route[] {
  const routes: Route[] = [];
  const taken = new Map<string, string>();
  for (const method of calls.services.flatMap(({ desc }) => desc.methods)) {
    const name = `${method.parent.typeName}/${method.name}`;
    for (const rule of explain(name, () => rulesOf(method))) {
      const at = `${rule.verb} ${rule.template}`;
      const route = explain(`${name}: ${at}`, () => compile(calls, method, rule));
      const key = `${rule.verb} ${route.segments.map((segment) => ("literal" in segment ? segment.literal : "{}")).join("/")}`;
      const other = taken.get(key);
      if (other !== undefined) throw new Error(`${name}: ${at}: the route belongs to ${other} already`);
      taken.set(key, name);
      routes.push(route);
    }
  }
  return routes;
}

function compile(calls: CallPipeline, method: DescMethod, rule: Rule): Route {
  const endpoint = calls.unary(`/${method.parent.typeName}/${method.name}`);
  if (endpoint === undefined) throw new Error("a streaming method cannot have a rule");
  const segments = parseTemplate(rule.template);
  const reply = replyOf(method);
  const { responseBody } = rule;
  const isRead = rule.verb === "GET" && responseBody !== "";
  const list = isRead ? listShape(method, responseBody) : undefined;
  return {
    rule,
    segments,
    endpoint,
    reply,
    format: formatOf(reply),
    binding: bindRequest(method.input, segments, rule.body),
    writeData: responseBody === "" ? undefined : fieldWriter(fieldOf(method.output, responseBody)),
    list,
    hasTag: isRead && list === undefined,
  };
}

function explain<Result>(where: string, run: () => Result): Result {
  try {
    return run();
  } catch (cause) {
    throw new Error(`${where}: ${(cause as Error).message}`, { cause });
  }
}
