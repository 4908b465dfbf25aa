import { expect } from "chai";
import { protocolOf } from "../../../src/http/detect-protocol.ts";

describe("detecting the protocol", () => {
  const cases: [head: string, protocol: ReturnType<typeof protocolOf>][] = [
    ["", undefined],
    ["P", undefined],
    ["PR", undefined],
    ["PRI", undefined],
    ["PRI ", "http2"],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2"],
    ["PO", "http1"],
    ["PROPFIND", "http1"],
    ["PRI/", "http1"],
    ["pri ", "http1"],
    ["G", "http1"],
    ["\x16\x03\x01", "http1"],
    ["\0", "http1"],
  ];
  for (const [head, protocol] of cases) {
    it(`takes ${JSON.stringify(head)} for ${protocol ?? "too few bytes to tell"}`, () => {
      expect(protocolOf(Buffer.from(head, "latin1"))).to.equal(protocol);
    });
  }
});
