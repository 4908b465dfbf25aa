import type { DescMethod, Message } from "@bufbuild/protobuf";
import findMyWay, { type HTTPMethod } from "find-my-way";
import type { Reply } from "../../gen/nexgate/rest/v1/reply_pb.ts";
import type { CallPipeline } from "../call/pipeline.ts";
import type { UnaryEndpoint } from "../call/service.ts";
import { type EnvelopeFormat, formatOf } from "./envelopes.ts";
import { type HttpRule, httpRulesOf, parseTemplate, replyOf, type Segment, verbs } from "./http-rule.ts";
import { type ListShape, listShape } from "./list.ts";
import { fieldWriter } from "./message-json.ts";
import { compileRequestReader, fieldOf, type RequestReader } from "./request-reader.ts";

/** One rule, compiled: everything that a request at its path needs. */
export interface Route {
  readonly rule: HttpRule;
  readonly segments: readonly Segment[];
  readonly endpoint: UnaryEndpoint;
  readonly reply: Reply;
  readonly format: EnvelopeFormat;
  readonly reader: RequestReader;
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
    for (const rule of withErrorContext(name, () => httpRulesOf(method))) {
      const at = `${rule.verb} ${rule.template}`;
      const route = withErrorContext(`${name}: ${at}`, () => compile(calls, method, rule));
      const key = `${rule.verb} ${route.segments.map((segment) => ("literal" in segment ? segment.literal : "{}")).join("/")}`;
      const other = taken.get(key);
      if (other !== undefined) throw new Error(`${name}: ${at}: the route belongs to ${other} already`);
      taken.set(key, name);
      routes.push(route);
    }
  }
  return routes;
}

function compile(calls: CallPipeline, method: DescMethod, rule: HttpRule): Route {
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
    reader: compileRequestReader(method.input, segments, rule),
    writeData: responseBody === "" ? undefined : fieldWriter(fieldOf(method.output, responseBody)),
    list,
    hasTag: isRead && list === undefined,
  };
}

/** Runs something; what it throws is rethrown with a message that begins with `where`. */
export function withErrorContext<Result>(where: string, run: () => Result): Result {
  try {
    return run();
  } catch (cause) {
    throw new Error(`${where}: ${(cause as Error).message}`, { cause });
  }
}

/** A route, and the raw text of the parameters in its path. */
export interface Match {
  readonly route: Route;
  readonly parameters: readonly string[];
}

/**
 * Finds routes by raw path: literals match exactly, so an encoded letter, another case, a trailing or a doubled slash
 * is another path. Parameters are returned as they were sent, not decoded.
 */
export class RouteTable {
  readonly #router = findMyWay({ maxParamLength: Number.MAX_SAFE_INTEGER });

  constructor(routes: readonly Route[]) {
    for (const route of routes) this.#router.on(route.rule.verb, pathOf(route), () => {}, route);
  }

  /** The route of an HTTP method at a path. */
  find(verb: string, path: string): Match | undefined {
    if (!path.startsWith("/")) return undefined;
    // The router decodes paths and ends them at "#": escaped, they come through as they are.
    const escaped = path.replaceAll("%", "%25").replaceAll("#", "%23");
    const found = this.#router.find(verb as HTTPMethod, escaped);
    if (found === null) return undefined;
    const parameters = Object.values(found.params) as string[];
    return parameters.includes("") ? undefined : { route: found.store as Route, parameters };
  }

  /** The routes of every HTTP method at a path, in the order of `verbs`. */
  at(path: string): readonly Route[] {
    return verbs.flatMap((verb) => this.find(verb, path)?.route ?? []);
  }
}

function pathOf({ segments }: Route): string {
  return segments
    .map((segment, index) => ("literal" in segment ? `/${segment.literal}` : `/:p${index}`))
    .join("");
}
