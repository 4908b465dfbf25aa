import { SpanStatusCode } from "@opentelemetry/api";
import {
  AlwaysOnSampler,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { expect } from "chai";
import { GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { Coalescer } from "../../../src/service/coalescer.ts";
import { newActiveSpans } from "../../../src/tracing/active.ts";
import { CallSpans } from "../../../src/tracing/call-spans.ts";
import { samplerOf } from "../../../src/tracing/sampler.ts";
import { StatementSpans } from "../../../src/tracing/statement-spans.ts";

function startTracer(sampler = new AlwaysOnSampler() as ReturnType<typeof samplerOf>) {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ sampler, spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  const tracer = provider.getTracer("test");
  const active = newActiveSpans();
  const calls = new CallSpans(tracer, active);
  const statements = new StatementSpans(tracer, active);
  const call = (headers: Record<string, string> = {}) =>
    calls.start({
      method: GraphService.method.getUser,
      protocolName: "grpc",
      requestMethod: "POST",
      requestHeader: new Headers(headers),
    });
  const finished = () =>
    exporter.getFinishedSpans().map((span) => ({
      name: span.name,
      traceId: span.spanContext().traceId,
      linked: span.links.map(({ context }) => context.traceId),
      status: span.status.code,
      attributes: span.attributes,
    }));
  return { call, statements, finished };
}

describe("the spans of statements", () => {
  it("belong to the call that sends them", async () => {
    const { call, statements, finished } = startTracer();
    const span = call();
    const rows = await span.run(async () => {
      await Promise.resolve();
      return statements.statement("select", async () => 3);
    });
    expect(rows).to.equal(3);
    expect(finished()).to.have.length(1);
    expect(finished()[0]).to.include({ name: "select", traceId: span.traceId });
  });

  it("are not made for what no call asked for", async () => {
    const { statements, finished } = startTracer();
    expect(await statements.statement("select", async () => 3)).to.equal(3);
    expect(
      await statements.shared([undefined], () => statements.statement("select", async () => 4)),
    ).to.equal(4);
    expect(finished()).to.eql([]);
  });

  it("name the kind of a failure, never its text", async () => {
    const { call, statements, finished } = startTracer();
    const failure = Object.assign(new Error("the secret is swordfish"), { code: "40P01" });
    const caught = await call()
      .run(() => statements.statement("update", () => Promise.reject(failure)))
      .catch((reason: unknown) => reason);
    expect(caught).to.equal(failure);
    const [span] = finished();
    expect([span?.status, span?.attributes["error.type"]]).to.eql([SpanStatusCode.ERROR, "40P01"]);
    expect(JSON.stringify(finished())).not.to.contain("swordfish");
  });

  it("have the first of the calls that share them as their parent, and link the others", async () => {
    const { call, statements, finished } = startTracer();
    const held = Promise.withResolvers<void>();
    const coalescer = new Coalescer<string, string>(
      (questions) =>
        statements.statement("select", async () => {
          await held.promise;
          return questions;
        }),
      { statementSize: 10, fairShare: 10, inFlight: 1, company: 10, waiting: 10, factsPerTurn: 10 },
      { tracer: statements },
    );
    const spans = [call(), call(), call(), call()];
    const { signal } = new AbortController();
    const answers = spans.map((span, i) => span.run(() => coalescer.ask([`q${i}`], signal)));
    held.resolve();
    expect(await Promise.all(answers)).to.eql([["q0"], ["q1"], ["q2"], ["q3"]]);
    const [a, b, c, d] = spans.map(({ traceId }) => traceId);
    expect(finished().map(({ traceId, linked }) => [traceId, linked])).to.eql([
      [a, []],
      [b, [c, d]],
    ]);
  });

  it("belong to a call whose trace is kept, when one that is not came first", async () => {
    const { call, statements, finished } = startTracer(samplerOf("parentbased_always_off", 0));
    const traceparent = (flags: string) => ({
      traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-${flags}`,
    });
    const [dropped, kept] = [call(traceparent("00")), call(traceparent("01"))];
    const callers = [dropped, kept].map((span) => span.run(() => statements.current()));
    await statements.shared(callers, () => statements.statement("select", async () => []));
    expect(finished()).to.have.length(1);
  });
});

describe("the samplers", () => {
  const sampled = (name: string, ratio: number, flags?: string) => {
    const { call, finished } = startTracer(samplerOf(name, ratio));
    const headers = { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-${flags}` };
    call(flags === undefined ? {} : headers).end("ok");
    return finished().length === 1;
  };

  it("keep all, none or a share, or what the caller keeps", () => {
    expect([sampled("always_on", 1), sampled("always_off", 1)]).to.eql([true, false]);
    expect([sampled("traceidratio", 0), sampled("traceidratio", 1)]).to.eql([false, true]);
    expect([sampled("always_on", 1, "00"), sampled("always_off", 1, "01")]).to.eql([true, false]);
    for (const name of ["always_on", "always_off", "traceidratio"]) {
      expect(sampled(`parentbased_${name}`, 0, "01"), name).to.equal(true);
      expect(sampled(`parentbased_${name}`, 1, "00"), name).to.equal(false);
    }
    expect([sampled("parentbased_traceidratio", 1), sampled("parentbased_traceidratio", 0)]).to.eql([
      true,
      false,
    ]);
  });
});
