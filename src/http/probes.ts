import { answerFailure, answerJson, type Request, type Response } from "./answers.ts";
import { type Handle, pathOf } from "./front.ts";

/** Tells whether the service can do its work now. Never rejects. */
export type Ready = () => boolean | Promise<boolean>;

/** Answers `/healthz` (the process lives) and `/readyz` (it can do its work now), and leaves the rest to `otherwise`. */
export function probes(ready: Ready, otherwise: Handle): Handle {
  const live = (response: Response) => answerJson(response, 200, '{"status":"ok"}');
  const readiness = async (response: Response) =>
    (await ready())
      ? answerJson(response, 200, '{"status":"ready"}')
      : answerJson(response, 503, '{"status":"unavailable"}');
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
