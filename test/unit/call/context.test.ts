import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import { pino } from "pino";
import { GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { CallContext, cancellationOf, requestHeaderOf } from "../../../src/call/context.ts";
import { CallPipeline } from "../../../src/call/pipeline.ts";
import { Roster } from "../../../src/collections/roster.ts";

const method = GraphService.method.getUser;
const start = { requestMethod: "POST", url: "http://h/", requestHeader: {}, peer: () => undefined };
const reason = new ConnectError("gone", Code.Canceled);

function newContext(more: { requestHeader?: Record<string, string | string[]>; timeoutMs?: number } = {}) {
  const running = new Roster<CallContext>();
  return {
    running,
    context: new CallContext(method, "grpc", { ...start, ...more }, running),
  };
}

describe("the context of a call", () => {
  for (const end of ["cancel", "end"] as const) {
    it(`aborts its signal by ${end}, whether it was asked for before or after`, () => {
      const [before, after] = [newContext().context, newContext().context];
      const { signal } = before;
      before[end](reason);
      after[end](reason);
      expect(signal.aborted).to.equal(true);
      expect(after.signal.aborted).to.equal(true);
      if (end === "cancel") expect([signal.reason, after.signal.reason]).to.eql([reason, reason]);
    });

    it(`is not in flight any more after ${end}`, () => {
      const { context, running } = newContext();
      expect([...running]).to.eql([context]);
      context[end](reason);
      expect([...running]).to.eql([]);
    });
  }

  it("tells without a signal that it is over, once, and only those who still want to know", () => {
    const { context } = newContext();
    const told: string[] = [];
    const leaver = () => told.push("leaver");
    const cancellation = cancellationOf(context);
    cancellation.addEventListener("abort", () => told.push("stayer"));
    cancellation.addEventListener("abort", leaver);
    cancellation.removeEventListener("abort", leaver);
    expect([cancellation.aborted, cancellation.reason]).to.eql([false, undefined]);
    context.cancel(reason);
    context.cancel(new Error("later"));
    expect([cancellation.aborted, cancellation.reason, told]).to.eql([true, reason, ["stayer"]]);
  });

  it("keeps the first reason", () => {
    const { context } = newContext();
    context.cancel(reason);
    context.cancel(new Error("later"));
    expect(context.signal.reason).to.equal(reason);
  });

  it("is cancelled at its deadline, at once when that has passed", async () => {
    const { context } = newContext({ timeoutMs: 5 });
    expect(context.timeoutMs()).to.be.at.most(5);
    await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
    expect(context.signal.reason).to.include({ code: Code.DeadlineExceeded });
    expect(newContext({ timeoutMs: 0 }).context.signal.reason).to.include({ code: Code.DeadlineExceeded });
    expect(newContext().context.timeoutMs()).to.equal(undefined);
  });

  it("leaves no timer behind", () => {
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const before = timers();
    const { context } = newContext({ timeoutMs: 60_000 });
    expect(timers()).to.equal(before + 1);
    context.end();
    expect(timers()).to.equal(before);
  });

  it("has the headers of the request, one by one or all", () => {
    const requestHeader = { ":path": "/x", authorization: "Bearer x", "x-many": ["a", "b"] };
    const { context } = newContext({ requestHeader });
    expect(requestHeaderOf(context, "authorization")).to.equal("Bearer x");
    expect(requestHeaderOf(context, "x-other")).to.equal(null);
    expect([...context.requestHeader]).to.eql([
      ["authorization", "Bearer x"],
      ["x-many", "a, b"],
    ]);
  });

  it("shows a wire the headers of the response that somebody set", () => {
    const { context } = newContext();
    expect(context.response).to.eql({ header: undefined, trailer: undefined });
    context.responseHeader.set("x-one", "1");
    context.responseTrailer.set("x-two", "2");
    expect([...(context.response.header ?? [])]).to.eql([["x-one", "1"]]);
    expect([...(context.response.trailer ?? [])]).to.eql([["x-two", "2"]]);
  });

  it("is cancelled by the shutdown, also when that came before", () => {
    const shutdown = new AbortController();
    const calls = new CallPipeline({
      services: [],
      authenticate: async () => {},
      log: pino({ level: "silent" }),
      shutdownSignal: shutdown.signal,
    });
    const begin = () => calls.newContext({ kind: "unary", method, impl: () => ({}) }, "grpc", start);
    const running = begin();
    const over = begin();
    over.end();
    shutdown.abort(reason);
    expect(running.signal.reason).to.equal(reason);
    expect(over.signal.reason).to.not.equal(reason);
    expect(begin().signal.reason).to.equal(reason);
  });
});
