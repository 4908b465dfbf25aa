import { answerFailure, answerJson, type Request, type Response } from "./answers.ts";
import { type Handle, pathOf } from "./front.ts";

/** How long the question whether the service is ready may take, in milliseconds. */
const readyMs = 2_000;

/**
 * Answers `/healthz` (the process lives) and `/readyz` (it can do its work now), and leaves the rest to `otherwise`.
 * `ready` that is late or rejects means no.
 */
export function probes(ready: () => Promise<boolean>, otherwise: Handle): Handle {
  const live = (response: Response) => answerJson(response, 200, '{"status":"ok"}');
  const readiness = async (response: Response) => {
    const isReady = await withinTime(ready());
    answerJson(response, isReady ? 200 : 503, `{"status":"${isReady ? "ready" : "unavailable"}"}`);
  };
  const answers = new Map([
    ["/healthz", live],
    ["/readyz", readiness],
  ]);
  return (request: Request, response: Response) => {
    const answer = answers.get(pathOf(request));
    if (answer === undefined) return otherwise(request, response);
    if (request.method !== "GET" && request.method !== "HEAD")
      return answerFailure(response, 405, { allow: "GET, HEAD" });
    return answer(response);
  };
}

async function withinTime(answer: Promise<boolean>): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(resolve, readyMs, false);
  try {
    return await Promise.race([answer.catch(() => false), promise]);
  } finally {
    clearTimeout(timer);
  }
}
