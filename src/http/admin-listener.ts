import type { Logger } from "pino";
import {
  answerBroken,
  answerFailure,
  answerJson,
  answerText,
  type Request,
  type Response,
} from "./answers.ts";
import { pathOf } from "./front.ts";
import { adminLimits } from "./limits.ts";
import { type Listener, listen } from "./listener.ts";

interface AdminListenerOptions {
  readonly host: string;
  readonly port: number;
  /** Reads the metrics. */
  readonly render: () => Promise<{ readonly contentType: string; readonly body: string }>;
  readonly log: Logger;
}

const noStore = { "cache-control": "no-store" };

/** Opens the operators' listener: `/metrics`, and `/healthz` while the process lives. It asks for no token. */
export function openAdminListener({ host, port, render, log }: AdminListenerOptions): Promise<Listener> {
  const pages = new Map([
    ["/healthz", async (response: Response) => answerJson(response, 200, '{"status":"ok"}', noStore)],
    [
      "/metrics",
      async (response: Response) => {
        const { contentType, body } = await render();
        answerText(response, 200, contentType, body, noStore);
      },
    ],
  ]);
  const handle = (request: Request, response: Response) => {
    const page = pages.get(pathOf(request));
    if (page === undefined) return answerFailure(response, 404);
    if (request.method !== "GET" && request.method !== "HEAD")
      return answerFailure(response, 405, { allow: "GET, HEAD" });
    page(response).catch((err: unknown) => {
      log.error({ err }, "the metrics could not be read");
      answerBroken(response);
    });
  };
  const front = { handle, takeStream: () => false, refused: () => {}, mayStayOpen: () => false, headers: [] };
  return listen({ host, port, front, limits: adminLimits, log });
}
