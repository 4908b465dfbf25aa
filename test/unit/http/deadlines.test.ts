import { expect } from "chai";
import { clampTimeout } from "../../../src/http/normalize-request.ts";

describe("deadlines", () => {
  const grpc: [given: string, kept: string][] = [
    ["1S", "1S"],
    ["24H", "24H"],
    ["25H", "24H"],
    ["99999999H", "24H"],
    ["1440M", "1440M"],
    ["1441M", "24H"],
    ["86401S", "24H"],
    ["86400000m", "86400000m"],
    ["86400001m", "24H"],
    ["99999999u", "99999999u"],
    ["99999999n", "99999999n"],
    ["123456789H", "123456789H"],
    ["forever", "forever"],
    ["", ""],
  ];
  for (const [given, kept] of grpc) {
    it(`of gRPC: ${given || "nothing"} is kept as ${kept || "nothing"}`, () => {
      const headers = { "grpc-timeout": given };
      clampTimeout(headers);
      expect(headers["grpc-timeout"]).to.equal(kept);
    });
  }

  const connect: [given: string, kept: string][] = [
    ["1000", "1000"],
    ["86400000", "86400000"],
    ["86400001", "86400000"],
    ["100000000", "86400000"],
    ["9999999999", "86400000"],
    ["99999999999", "99999999999"],
    ["x", "x"],
  ];
  for (const [given, kept] of connect) {
    it(`of Connect: ${given} is kept as ${kept}`, () => {
      const headers = { "connect-timeout-ms": given };
      clampTimeout(headers);
      expect(headers["connect-timeout-ms"]).to.equal(kept);
    });
  }

  it("are not made up", () => {
    const headers = {};
    clampTimeout(headers);
    expect(headers).to.eql({});
  });
});
