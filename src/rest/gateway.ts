import type { Logger } from "pino";
import type { CallPipeline } from "../call/pipeline.ts";
import { pathOf } from "../http/normalize-request.ts";
import { breakOff, type HttpRequest, type HttpResponse } from "../http/plain-responses.ts";
import { answerCall } from "./call.ts";
import { isoSeconds } from "./codec.ts";
import { formatOf } from "./envelopes.ts";
import { errorReasonHeader, statusFailure } from "./failure.ts";
import { send, sendNoContent } from "./respond.ts";
import { compileRoutes, type Route, RouteTable } from "./routes.ts";

/** What a gateway needs. */
export interface RestGatewayOptions {
  readonly calls: CallPipeline;
  readonly log: Logger;
  /** The largest body that is accepted, in bytes. */
  readonly maxBodyBytes: number;
  /** Milliseconds since 1970, for the times in replies. */
  readonly now?: () => number;
  /** How long one page of a complete list may take, in milliseconds. */
  readonly pageDeadlineMs?: number;
}

/** Serves services over REST. */
export interface RestGateway {
  /** The compiled rules, for documentation. */
  readonly routes: readonly Route[];
  /** The HTTP methods of the routes at a path. */
  methodsAt(path: string): readonly string[];
  /** Answers a request of node's HTTP/1.1 or HTTP/2 server; never throws. Unknown paths are 404. */
  readonly handle: (request: HttpRequest, response: HttpResponse) => void;
}

/**
 * Serves the `google.api.http` rules of the services by calls in process. It reads descriptors only: a new rule is a
 * new route. Throws an `Error` that names the method and the rule which cannot be served.
 */
export function createRestGateway(options: RestGatewayOptions): RestGateway {
  const { calls, log, maxBodyBytes, now = Date.now, pageDeadlineMs = 10_000 } = options;
  const routes = compileRoutes(calls);
  const table = new RouteTable(routes);
  const settings = { calls, maxBodyBytes, pageDeadlineMs, time: () => isoSeconds(now()) };

  // HEAD is served wherever GET is (RFC 9110, 9.3.2).
  const methodsAt = (path: string) =>
    table.at(path).flatMap(({ rule: { verb } }) => (verb === "GET" ? [verb, "HEAD"] : [verb]));

  async function answer(request: HttpRequest, response: HttpResponse): Promise<void> {
    const path = pathOf(request);
    const query = (request.url ?? "").slice(path.length + 1);
    const match = table.find(request.method === "HEAD" ? "GET" : (request.method ?? ""), path);
    if (match !== undefined) return await answerCall({ ...settings, ...match, query, request, response });
    const [other] = table.at(path);
    const allow: [string, string] = ["allow", [...methodsAt(path), "OPTIONS"].join(", ")];
    if (other !== undefined && request.method === "OPTIONS") return sendNoContent(response, [allow]);
    const failure = statusFailure(other === undefined ? 404 : 405);
    calls.countRejected("http", failure.status);
    const headers: [string, string][] = [[errorReasonHeader, failure.reason]];
    if (other !== undefined) headers.push(allow);
    const body = formatOf(other?.reply).failure(failure, undefined, settings.time());
    send(request, response, { status: failure.status, headers }, body, maxBodyBytes);
  }

  return {
    routes,
    methodsAt,
    handle: (request, response) => {
      // A client that goes away can show as an error of either; without a listener it would end the process.
      request.on("error", ignore);
      response.on("error", ignore);
      answer(request, response).catch((err: unknown) => {
        log.error({ err }, "a REST request could not be answered");
        breakOff(response);
      });
    },
  };
}

function ignore(): void {}
