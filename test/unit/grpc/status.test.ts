import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import { setFailure, trailersOnly } from "../../../src/grpc/status.ts";

function messageOf(text: string): string | null {
  const trailers = new Headers();
  setFailure(trailers, new ConnectError(text, Code.Unavailable));
  return trailers.get("grpc-message");
}

describe("the status of a failed gRPC call", () => {
  it("encodes what gRPC over HTTP/2 asks for, and nothing else", () => {
    const printable = Array.from({ length: 0x7f - 0x20 }, (_, index) => String.fromCharCode(0x20 + index));
    expect(messageOf(`a${printable.join("")}z`)).to.equal(`a${printable.join("").replace("%", "%25")}z`);
    expect(messageOf("\t\n\x7f\x1f")).to.equal("%09%0A%7F%1F");
    expect(messageOf("über \u{1f600}")).to.equal("%C3%BCber %F0%9F%98%80");
    expect(messageOf("%3B %25 100%")).to.equal("%253B %2525 100%25");
  });

  it("says when to try again where the failure says so", () => {
    const trailers = new Headers();
    setFailure(trailers, new ConnectError("wait", Code.ResourceExhausted, { "retry-after": "12" }));
    expect(trailers.get("grpc-retry-pushback-ms")).to.equal("12000");
    expect(trailers.get("retry-after")).to.equal("12");
    expect(messageOf("no time")).not.to.equal(null);
    const none = new Headers();
    setFailure(none, new ConnectError("fail", Code.Unavailable));
    expect(none.has("grpc-retry-pushback-ms")).to.equal(false);
  });

  it("keeps every header in one block, that of the trailers where both have one", () => {
    const header = new Headers([
      ["x-one", "header"],
      ["x-two", "2"],
      ["set-cookie", "a=1"],
      ["set-cookie", "b=2"],
      ["grpc-encoding", "gzip"],
    ]);
    const trailer = new Headers({ "x-one": "trailer", "grpc-status": "5" });
    expect([...trailersOnly(header, trailer)]).to.have.deep.members([
      ["grpc-status", "5"],
      ["set-cookie", "a=1"],
      ["set-cookie", "b=2"],
      ["x-one", "trailer"],
      ["x-two", "2"],
    ]);
  });
});
