import type { HandlerContext } from "@connectrpc/connect";
import { hold } from "../../../../src/call/rate-limits/tarpit.ts";

describe("a refusal that is held back", () => {
  const context = (signal: AbortSignal, timeoutMs?: number) =>
    ({ signal, timeoutMs: () => timeoutMs }) as HandlerContext;
  const hourMs = 3_600_000;

  it("is not kept for who is gone", async () => {
    const gone = new AbortController();
    const held = hold(context(gone.signal), hourMs);
    gone.abort();
    await held;
  });

  it("is told within the caller's deadline", () => hold(context(new AbortController().signal, 20), hourMs));
});
