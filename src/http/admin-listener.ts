import type { Logger } from "pino";
import { type Listener, listen } from "./listener.ts";
import { adminLimits } from "./listener-limits.ts";
import {
  answerBroken,
  answerFailure,
  answerText,
  type HttpRequest,
  type HttpResponse,
} from "./plain-responses.ts";
import { probes, type Ready } from "./probes.ts";
import { pathOf } from "./request-router.ts";

interface AdminListenerOptions {
  readonly host: string;
  readonly port: number;
  /** Reads the metrics. */
  readonly render: () => Promise<{ readonly contentType: string; readonly body: string }>;
  readonly ready: Ready;
  readonly log: Logger;
}

/**
 * Opens the operators' listener: `/metrics`, `/healthz` while the process lives, `/readyz` when it can do its work. It
 * needs no token. It has connection limits of its own.
 */
export function openAdminListener({
  host,
  port,
  render,
  ready,
  log,
}: AdminListenerOptions): Promise<Listener> {
  const metrics = async (response: HttpResponse) => {
    try {
      const { contentType, body } = await render();
      answerText(response, 200, contentType, body);
    } catch (err) {
      log.error({ err }, "the metrics could not be read");
      answerBroken(response);
    }
  };
  const answer = probes(ready, (request, response) => {
    if (pathOf(request) !== "/metrics") return answerFailure(response, 404);
    if (request.method !== "GET" && request.method !== "HEAD")
      return answerFailure(response, 405, { allow: "GET, HEAD" });
    return metrics(response);
  });
  const handle = (request: HttpRequest, response: HttpResponse) => {
    response.setHeader("cache-control", "no-store");
    void answer(request, response);
  };
  const front = {
    handle,
    takeStream: () => false,
    refused: () => {},
    mayStayOpen: () => false,
    headersFor: () => [],
  };
  return listen({ host, port, front, limits: adminLimits, log });
}
