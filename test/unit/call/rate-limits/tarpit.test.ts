import type { HandlerContext } from "@connectrpc/connect";
import { expect } from "chai";
import { delayRejection } from "../../../../src/call/rate-limits/rate-limits.ts";

describe("the delayed rejection of a call", () => {
  const context = (signal: AbortSignal, timeoutMs?: number) =>
    ({ signal, timeoutMs: () => timeoutMs }) as HandlerContext;
  const hourMs = 3_600_000;

  it("ends when the client disconnects", async () => {
    const client = new AbortController();
    const delayed = delayRejection(context(client.signal), hourMs);
    client.abort();
    expect(await delayed).to.equal(undefined);
  });

  it("comes within the caller's deadline", async () => {
    const startedAt = performance.now();
    await delayRejection(context(new AbortController().signal, 20), hourMs);
    expect(performance.now() - startedAt).to.be.lessThan(hourMs);
  });
});
