import { Code, ConnectError, createHandlerContext } from "@connectrpc/connect";
import { expect } from "chai";
import { pino } from "pino";
import { GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { readFailure, reasonOf } from "../../../src/call/errors.ts";
import { type CallTracer, type HttpFacts, httpKey, ObservedCall } from "../../../src/call/observer.ts";
import { requestIdHeader } from "../../../src/call/request-headers.ts";
import { PrivacyError } from "../../../src/domain/errors.ts";

function beginCall(tracer?: CallTracer, http?: HttpFacts) {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const context = createHandlerContext({
    service: GraphService,
    method: GraphService.method.getUser,
    protocolName: "grpc",
    requestMethod: "POST",
    url: "http://h/",
  });
  context.values.set(httpKey, http);
  return { call: new ObservedCall(context, { log, ...(tracer && { tracer }) }), lines };
}

describe("an observed call", () => {
  it("is logged once, at its end", () => {
    const { call, lines } = beginCall();
    expect(lines).to.eql([]);
    call.end();
    call.end();
    expect(lines).to.have.length(1);
    expect(lines[0]).to.include({ level: 30, code: "ok", method: "nexgate.privacy.v1.GraphService/GetUser" });
  });

  it("gives the failure that will be written its reason and the id of the log line", () => {
    const { call, lines } = beginCall();
    const error = call.fail(new ConnectError("too large", Code.ResourceExhausted));
    call.end();
    expect([reasonOf(error), error.metadata.get(requestIdHeader)]).to.eql([
      "REQUEST_TOO_LARGE",
      lines[0]?.requestId,
    ]);
    expect(lines[0]).to.include({ level: 30, code: "resource_exhausted" });
  });

  it("takes the text out of a failure that was not raised for the caller", () => {
    const { call, lines } = beginCall();
    const error = call.fail(new ConnectError("serialize binary: secret", Code.Internal));
    call.end();
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
    for (const text of ["parse binary: premature EOF", "received compressed envelope, but do not know how"]) {
      const { call, lines } = beginCall();
      const error = call.fail(new ConnectError(text, Code.Internal));
      call.end();
      expect([error.code, error.rawMessage]).to.eql([Code.InvalidArgument, text]);
      expect(reasonOf(error)).to.equal("INVALID_REQUEST");
      expect(lines[0]).to.include({ level: 30, code: "invalid_argument" });
    }
  });

  it("is cancelled when its request was cut off, however Node reports that", () => {
    const cutOff = (code: string) => Object.assign(new Error("gone"), { code });
    const reasons = [
      cutOff("ERR_STREAM_PREMATURE_CLOSE"),
      cutOff("ECONNRESET"),
      new ConnectError("gone", Code.Canceled),
      AbortSignal.abort().reason,
    ];
    for (const reason of reasons) {
      const { call, lines } = beginCall();
      call.fail(readFailure(reason));
      call.end();
      expect(lines[0]).to.include({ level: 30, code: "canceled" });
    }
  });

  it("ends its span, and logs the id of its trace", () => {
    const ended: unknown[] = [];
    const span = {
      traceId: "a trace",
      run: <T>(work: () => T) => work(),
      end: (...args: unknown[]) => void ended.push(args),
    };
    const http = {
      route: "/users/{id}",
      scheme: "http",
      authority: "h",
      httpVersion: "1.1",
      status: 404,
    } as const;
    const { call, lines } = beginCall({ start: () => span }, http);
    call.fail(new PrivacyError("USER_NOT_FOUND"));
    call.end();
    expect(ended).to.eql([["not_found", http]]);
    expect(lines[0]).to.include({ traceId: "a trace" });
  });

  it("calls what was to be called at its end, once", () => {
    const { call } = beginCall();
    const released: string[] = [];
    call.onEnd(() => released.push("user"));
    call.onEnd(() => released.push("service"));
    expect(released).to.eql([]);
    call.end();
    call.end();
    expect(released).to.eql(["user", "service"]);
  });
});
