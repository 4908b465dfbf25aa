import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import { pino } from "pino";
import { GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { CallContext, requestHeaderOf } from "../../../src/call/context.ts";
import { CallPipeline } from "../../../src/call/pipeline.ts";
import { DenseSet } from "../../../src/collections/dense-set.ts";

const method = GraphService.method.getUser;
const start = { requestMethod: "POST", url: "http://h/", requestHeader: {}, peer: () => undefined };
const reason = new ConnectError("gone", Code.Canceled);

function newContext(more: { requestHeader?: Record<string, string | string[]>; timeoutMs?: number } = {}) {
  const running = new DenseSet<CallContext>();
  return {
    running,
    context: new CallContext(method, "grpc", { ...start, ...more }, running),
  };
}

describe("the context of a call", () => {
  it("aborts its signal when it is cancelled, whether the signal was used before or is after", () => {
    const [before, after] = [newContext().context, newContext().context];
    const { signal } = before;
    before.cancel(reason);
    after.cancel(reason);
    expect([signal.aborted, signal.reason]).to.eql([true, reason]);
    expect([after.signal.aborted, after.signal.reason]).to.eql([true, reason]);
  });

  it("does not abort its signal at its end", () => {
    const { context } = newContext();
    context.end();
    expect(context.signal.aborted).to.equal(false);
  });

  it("is in flight until its end", () => {
    const { context, running } = newContext();
    expect([...running]).to.eql([context]);
    context.cancel(reason);
    expect([...running]).to.eql([context]);
    context.end();
    expect([...running]).to.eql([]);
  });

  it("says why it is cancelled, without a signal", () => {
    const { context } = newContext();
    expect(context.cancelled).to.equal(undefined);
    context.cancel(reason);
    expect(context.cancelled?.reason).to.equal(reason);
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

  it("clears its timer", () => {
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

  it("gives the transport the headers of the response that a handler set", () => {
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
