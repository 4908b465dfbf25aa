import { answerFailure, answerJson, type HttpRequest, type HttpResponse } from "./plain-responses.ts";
import { type Handle, pathOf } from "./request-router.ts";

/** Tells whether the service can do its work now. Never rejects. */
export type Ready = () => boolean | Promise<boolean>;

/** Answers `/healthz` (the process lives) and `/readyz` (it can do its work now), and leaves the rest to `otherwise`. */
export function probes(ready: Ready, otherwise: Handle): Handle {
  const live = (response: HttpResponse) => answerJson(response, 200, '{"status":"ok"}');
  const readiness = async (response: HttpResponse) =>
    (await ready())
      ? answerJson(response, 200, '{"status":"ready"}')
      : answerJson(response, 503, '{"status":"unavailable"}');
  const answers = new Map([
    ["/healthz", live],
    ["/readyz", readiness],
  ]);
  return (request: HttpRequest, response: HttpResponse) => {
    const answer = answers.get(pathOf(request));
    if (answer === undefined) return otherwise(request, response);
    if (request.method !== "GET" && request.method !== "HEAD")
      return answerFailure(response, 405, { allow: "GET, HEAD" });
    return answer(response);
  };
}
