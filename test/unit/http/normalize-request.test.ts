import type { IncomingMessage } from "node:http";
import { expect } from "chai";
import fc from "fast-check";
import {
  authorityCheck,
  clampTimeout,
  isAmbiguous,
  toOriginForm,
} from "../../../src/http/normalize-request.ts";

describe("the authority check", () => {
  for (const good of [
    "localhost",
    "localhost:7001",
    "127.0.0.1:1",
    "[::1]",
    "[::1]:80",
    "a.example",
    "A.Example:443",
  ]) {
    it(`accepts ${good}, repeatedly`, () => {
      const check = authorityCheck();
      expect([check(good), check(good)]).to.eql([true, true]);
    });
  }

  for (const bad of [
    undefined,
    "",
    "[",
    "[::1",
    "x:99999",
    "x:y",
    ":80",
    "a b",
    "a/b",
    "a\\b",
    "a?b",
    "a#b",
    "u@h",
    "u:p@h",
  ]) {
    it(`refuses ${bad}`, () => {
      const check = authorityCheck();
      check("localhost");
      expect(check(bad)).to.equal(false);
    });
  }

  it("accepts nothing that cannot be in a URL", () => {
    const check = authorityCheck();
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (authority) => {
        if (check(authority)) expect(new URL("/path", `http://${authority}`).pathname).to.equal("/path");
      }),
    );
  });
});

describe("the timeout of a call", () => {
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
    it(`over gRPC: ${given || "nothing"} becomes ${kept || "nothing"}`, () => {
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
    it(`over Connect: ${given} becomes ${kept}`, () => {
      const headers = { "connect-timeout-ms": given };
      clampTimeout(headers);
      expect(headers["connect-timeout-ms"]).to.equal(kept);
    });
  }

  it("is not invented", () => {
    const headers = {};
    clampTimeout(headers);
    expect(headers).to.eql({});
  });
});

describe("the request smuggling guard", () => {
  const request = (rawHeaders: string[], httpVersion = "1.1") => {
    const headers: Record<string, string> = {};
    for (let i = 0; i < rawHeaders.length; i += 2)
      headers[String(rawHeaders[i]).toLowerCase()] ??= String(rawHeaders[i + 1]);
    return { httpVersion, headers, rawHeaders } as unknown as IncomingMessage;
  };

  for (const [name, rawHeaders, httpVersion, ambiguous] of [
    ["one host", ["Host", "a"], "1.1", false],
    ["no host in HTTP/1.0", [], "1.0", false],
    ["two hosts", ["Host", "a", "hOsT", "a"], "1.1", true],
    ["chunked", ["Host", "a", "Transfer-Encoding", "Chunked"], "1.1", false],
    ["chunked in HTTP/1.0", ["Host", "a", "Transfer-Encoding", "chunked"], "1.0", true],
    ["two codings", ["Host", "a", "Transfer-Encoding", "gzip, chunked"], "1.1", true],
    ["HTTP/2.0 in text", ["Host", "a"], "2.0", true],
  ] as const)
    it(`${ambiguous ? "rejects" : "accepts"} ${name}`, () => {
      expect(isAmbiguous(request([...rawHeaders], httpVersion))).to.equal(ambiguous);
    });
});

describe("the target of a request", () => {
  for (const [given, url, host] of [
    ["/a?b", "/a?b", "h"],
    ["http://x:1/a?b", "/a?b", "x:1"],
    ["HTTPS://x", "/", "x"],
    ["http://x?b", "/?b", "x"],
    ["ftp://x/a", "ftp://x/a", "h"],
    ["*", "*", "h"],
  ] as const)
    it(`${given} becomes ${url} at ${host}`, () => {
      const request = { url: given, headers: { host: "h" } } as IncomingMessage;
      toOriginForm(request);
      expect([request.url, request.headers.host]).to.eql([url, host]);
    });
});
