import { Code, ConnectError, createHandlerContext } from "@connectrpc/connect";
import { expect } from "chai";
import { pino } from "pino";
import { GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { type CallTracer, httpKey } from "../../../src/call/call-span.ts";
import { reasonOf } from "../../../src/call/errors.ts";
import { finished, observing } from "../../../src/call/observe.ts";
import { requestIdHeader } from "../../../src/call/request-headers.ts";
import { PrivacyError } from "../../../src/domain/errors.ts";

/** Starts a call whose end is watched. */
function startCall(requestSignal?: AbortSignal, tracer?: CallTracer) {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const context = createHandlerContext({
    service: GraphService,
    method: GraphService.method.getUser,
    protocolName: "grpc",
    requestMethod: "POST",
    url: "http://h/",
    ...(requestSignal && { requestSignal }),
  });
  observing({ log, ...(tracer && { tracer }) })(context);
  return { context, lines };
}

describe("observing a call", () => {
  it("logs a call that went well, once", () => {
    const { context, lines } = startCall();
    context.abort(finished);
    context.abort();
    expect(lines).to.have.length(1);
    expect(lines[0]).to.include({ level: 30, code: "ok", method: "nexgate.privacy.v1.GraphService/GetUser" });
  });

  it("gives the failure that will be written its reason and the id of the log line", () => {
    const { context, lines } = startCall();
    const error = new ConnectError("too large", Code.ResourceExhausted);
    context.abort(error);
    expect([reasonOf(error), error.metadata.get(requestIdHeader)]).to.eql([
      "REQUEST_TOO_LARGE",
      lines[0]?.requestId,
    ]);
    expect(lines[0]).to.include({ level: 30, code: "resource_exhausted" });
  });

  it("takes the words out of a failure that was not raised for the caller", () => {
    const { context, lines } = startCall();
    const error = new ConnectError("serialize binary: secret", Code.Internal);
    context.abort(error);
    expect([error.code, error.rawMessage, reasonOf(error)]).to.eql([
      Code.Internal,
      "Internal server error",
      "INTERNAL",
    ]);
    expect(error.metadata.get(requestIdHeader)).to.equal(lines[0]?.requestId);
    expect(lines[0]).to.include({ level: 50 });
    expect(JSON.stringify(lines)).to.contain("secret");
  });

  it("blames the sender for bytes that cannot be parsed", () => {
    for (const words of [
      "parse binary: premature EOF",
      "received compressed envelope, but do not know how",
    ]) {
      const { context, lines } = startCall();
      const error = new ConnectError(words, Code.Internal);
      context.abort(error);
      expect([error.code, error.rawMessage]).to.eql([Code.InvalidArgument, words]);
      expect(reasonOf(error)).to.equal("INVALID_REQUEST");
      expect(lines[0]).to.include({ level: 30, code: "invalid_argument" });
    }
  });

  it("calls cancelled what was cut off, however Node says it", () => {
    const cutOff = (code: string) => Object.assign(new Error("gone"), { code });
    const reasons = [
      cutOff("ERR_STREAM_PREMATURE_CLOSE"),
      cutOff("ECONNRESET"),
      new ConnectError("gone", Code.Canceled),
      AbortSignal.abort().reason,
    ];
    for (const reason of reasons) {
      const { context, lines } = startCall();
      context.abort(reason);
      expect(lines[0]).to.include({ level: 30, code: "canceled" });
    }
  });

  it("logs a call whose caller has gone as cancelled even when its handler succeeded", () => {
    const caller = new AbortController();
    const { context, lines } = startCall(caller.signal);
    caller.abort();
    context.abort(finished);
    expect(lines[0]).to.include({ level: 30, code: "canceled" });
    expect([finished.code, finished.rawMessage]).to.eql([Code.Canceled, "the call has finished"]);
    expect([...finished.metadata]).to.eql([]);
  });

  it("ends the span of a call as the call ends, and logs its trace", () => {
    const ended: unknown[] = [];
    const span = {
      traceId: "a trace",
      run: <T>(work: () => T) => work(),
      end: (...args: unknown[]) => void ended.push(args),
    };
    const { context, lines } = startCall(undefined, { start: () => span });
    const http = {
      route: "/users/{id}",
      scheme: "http",
      authority: "h",
      httpVersion: "1.1",
      status: 404,
    } as const;
    context.values.set(httpKey, http);
    context.abort(new PrivacyError("USER_NOT_FOUND"));
    context.abort(finished);
    expect(ended).to.eql([["not_found", http]]);
    expect(lines[0]).to.include({ traceId: "a trace" });
  });

  it("logs a deadline as such", () => {
    const { context, lines } = startCall(AbortSignal.abort(new PrivacyError("DEADLINE_EXCEEDED")));
    context.abort();
    expect(lines[0]).to.include({ code: "deadline_exceeded" });
  });
});
