import { SpanStatusCode } from "@opentelemetry/api";
import {
  AlwaysOnSampler,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { expect } from "chai";
import { GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { CheckBatcher } from "../../../src/service/check-batcher.ts";
import { CallSpans, newActiveSpans } from "../../../src/tracing/call-spans.ts";
import { databaseAttributes, StatementSpans } from "../../../src/tracing/statement-spans.ts";
import { samplerOf } from "../../../src/tracing/tracing.ts";

const select = { operation: "select", tables: [] };
const database = databaseAttributes("postgres://reader:hunter2@db.example:6432/privacy?sslmode=disable");

function startTracer(sampler = new AlwaysOnSampler() as ReturnType<typeof samplerOf>) {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ sampler, spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  const tracer = provider.getTracer("test");
  const active = newActiveSpans();
  const calls = new CallSpans(tracer, active);
  const statements = new StatementSpans(tracer, active, database);
  const call = (headers: Record<string, string> = {}) =>
    calls.start({
      method: GraphService.method.getUser,
      protocolName: "grpc",
      requestMethod: "POST",
      url: "http://h/",
      requestHeader: new Headers(headers),
    });
  const callOver = (http: Parameters<typeof calls.start>[1]) =>
    calls.start(
      {
        method: GraphService.method.getUser,
        protocolName: "rest",
        requestMethod: "GET",
        url: "/",
        requestHeader: new Headers(),
      },
      http,
    );
  const finished = () =>
    exporter.getFinishedSpans().map((span) => ({
      name: span.name,
      traceId: span.spanContext().traceId,
      linked: span.links.map(({ context }) => context.traceId),
      status: span.status.code,
      attributes: span.attributes,
    }));
  return { call, callOver, statements, finished };
}

describe("the spans of statements", () => {
  it("belong to the call that sends them", async () => {
    const { call, statements, finished } = startTracer();
    const span = call();
    const rows = await span.run(async () => {
      await Promise.resolve();
      return statements.statement(select, async () => 3);
    });
    expect(rows).to.equal(3);
    expect(finished()).to.have.length(1);
    expect(finished()[0]).to.include({ name: "select", traceId: span.traceId });
  });

  it("are not made for statements outside a call", async () => {
    const { statements, finished } = startTracer();
    expect(await statements.statement(select, async () => 3)).to.equal(3);
    expect(await statements.shared([undefined], () => statements.statement(select, async () => 4))).to.equal(
      4,
    );
    expect(finished()).to.eql([]);
  });

  it("name the kind of a failure, never its text", async () => {
    const { call, statements, finished } = startTracer();
    const failure = Object.assign(new Error("the secret is swordfish"), { code: "40P01" });
    const caught = await call()
      .run(() =>
        statements.statement({ operation: "update", tables: ["users"] }, () => Promise.reject(failure)),
      )
      .catch((reason: unknown) => reason);
    expect(caught).to.equal(failure);
    const [span] = finished();
    expect([span?.status, span?.name]).to.eql([SpanStatusCode.ERROR, "update users"]);
    expect(span?.attributes).to.eql({
      "db.system.name": "postgresql",
      "db.namespace": "privacy",
      "server.address": "db.example",
      "server.port": 6432,
      "db.operation.name": "update",
      "db.query.summary": "update users",
      "db.collection.name": "users",
      "error.type": "40P01",
      "db.response.status_code": "40P01",
    });
    expect(JSON.stringify(finished())).not.to.contain("swordfish");
  });

  it("do not report a system error code as one of PostgreSQL", async () => {
    for (const code of ["EPIPE", "ECONNRESET"]) {
      const { call, statements, finished } = startTracer();
      const failure = Object.assign(new Error("gone"), { code });
      await call()
        .run(() => statements.statement(select, () => Promise.reject(failure)))
        .catch(() => {});
      expect(finished()[0]?.attributes["error.type"]).to.equal(code);
      expect(finished()[0]?.attributes).not.to.have.property("db.response.status_code");
    }
  });

  it("have one table as an attribute, and several only in the summary", async () => {
    const { call, statements, finished } = startTracer();
    const kind = { operation: "select", tables: ["users", "blocks"] };
    await call().run(() => statements.statement(kind, async () => []));
    expect(finished()[0]?.name).to.equal("select users blocks");
    expect(finished()[0]?.attributes).not.to.have.property("db.collection.name");
  });

  it("are children of the first call that shares them, with links to the others", async () => {
    const { call, statements, finished } = startTracer();
    const held = Promise.withResolvers<void>();
    const batcher = new CheckBatcher<string, string>(
      (questions) =>
        statements.statement(select, async () => {
          await held.promise;
          return questions;
        }),
      { batchSize: 10, largeCalls: 1, maxPending: 10 },
      { tracer: statements },
    );
    const spans = [call(), call(), call(), call()];
    const { signal } = new AbortController();
    const answers = spans.map((span, i) => span.run(() => batcher.load([`q${i}`], signal)));
    held.resolve();
    expect(await Promise.all(answers)).to.eql([["q0"], ["q1"], ["q2"], ["q3"]]);
    const [a, b, c, d] = spans.map(({ traceId }) => traceId);
    expect(finished().map(({ traceId, linked }) => [traceId, linked])).to.eql([
      [a, []],
      [b, [c, d]],
    ]);
  });

  it("are children of a sampled call even if an unsampled one came first", async () => {
    const { call, statements, finished } = startTracer(samplerOf("parentbased_always_off", 0));
    const traceparent = (flags: string) => ({
      traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-${flags}`,
    });
    const [dropped, kept] = [call(traceparent("00")), call(traceparent("01"))];
    const callers = [dropped, kept].map((span) => span.run(() => statements.current()));
    await statements.shared(callers, () => statements.statement(select, async () => []));
    expect(finished()).to.have.length(1);
  });
});

describe("the database attributes of spans", () => {
  const system = { "db.system.name": "postgresql" };
  const cases: [url: string | undefined, attributes: object][] = [
    [undefined, system],
    [
      "postgres://u:hunter2@db.example/my%20db?application_name=x",
      { ...system, "db.namespace": "my db", "server.address": "db.example", "server.port": 5432 },
    ],
    [
      "postgresql://u@[2001:db8::1]:6432/privacy",
      { ...system, "db.namespace": "privacy", "server.address": "2001:db8::1", "server.port": 6432 },
    ],
    [
      "postgres:///privacy?host=/run/postgresql",
      { ...system, "db.namespace": "privacy", "server.address": "/run/postgresql" },
    ],
    ["postgres://db.example", { ...system, "server.address": "db.example", "server.port": 5432 }],
    ["postgres://a:1,b:2/privacy", system],
  ];
  for (const [url, attributes] of cases)
    it(`of ${url}`, () => {
      expect(databaseAttributes(url)).to.eql(attributes);
    });
});

describe("the spans of calls over HTTP", () => {
  const http = {
    route: "/users/{user_id}/settings/{name}",
    scheme: "https" as const,
    authority: "api.example",
    httpVersion: "2.0",
    status: 200 as number | undefined,
  };
  const ended = (status: number | undefined, code: string, authority = "api.example") => {
    const { callOver, finished } = startTracer();
    callOver({ ...http, authority }).end(code, { ...http, status });
    return finished()[0];
  };

  it("have the names and attributes of the conventions", () => {
    const span = ended(200, "ok");
    expect([span?.name, span?.status]).to.eql(["GET /users/{user_id}/settings/{name}", SpanStatusCode.UNSET]);
    expect(span?.attributes).to.eql({
      "http.request.method": "GET",
      "http.route": "/users/{user_id}/settings/{name}",
      "http.response.status_code": 200,
      "url.scheme": "https",
      "url.path": "/users/REDACTED/settings/REDACTED",
      "network.protocol.version": "2",
      "server.address": "api.example",
      "server.port": 443,
    });
  });

  it("name the host of the authority, when it has one", () => {
    const addressOf = (authority: string) => {
      const attributes = ended(200, "ok", authority)?.attributes;
      return [attributes?.["server.address"], attributes?.["server.port"]];
    };
    expect(addressOf("api.example:8443")).to.eql(["api.example", 8443]);
    expect(addressOf("[::1]:7001")).to.eql(["::1", 7001]);
    for (const none of ["", "%2Frun%2Fsocket", "a b", `${"a".repeat(254)}`, ":50051"])
      expect(addressOf(none), none).to.eql([undefined, undefined]);
  });

  const ends: [status: number | undefined, code: string, errorType: string | undefined][] = [
    [404, "not_found", undefined],
    [429, "resource_exhausted", undefined],
    [500, "internal", "500"],
    [503, "resource_exhausted", "503"],
    [504, "deadline_exceeded", "504"],
    // An answer that was broken off after its head.
    [200, "unavailable", "unavailable"],
    [undefined, "canceled", undefined],
  ];
  for (const [status, code, errorType] of ends)
    it(`that end with ${status} and ${code} have ${errorType ?? "no error"}`, () => {
      const span = ended(status, code);
      expect(span?.attributes["http.response.status_code"]).to.equal(status);
      expect(span?.attributes["error.type"]).to.equal(errorType);
      expect(span?.status).to.equal(errorType === undefined ? SpanStatusCode.UNSET : SpanStatusCode.ERROR);
    });
});

describe("the samplers", () => {
  const sampled = (name: string, ratio: number, flags?: string) => {
    const { call, finished } = startTracer(samplerOf(name, ratio));
    const headers = { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-${flags}` };
    call(flags === undefined ? {} : headers).end("ok");
    return finished().length === 1;
  };

  it("sample all, none or a share, or follow the caller", () => {
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
