import { Metadata } from "@grpc/grpc-js";
import { expect } from "chai";
import { callHeaders, consistencyTokenOf } from "../../../src/client/call-headers.ts";
import { callMetadata } from "../../../src/client/grpc-js.ts";

const all = { token: "the-token", actingUser: "the-user", idempotencyKey: "the-key" };

describe("the headers of a call", () => {
  it("are those that are asked for", () => {
    expect(callHeaders({ token: "the-token", actingUser: undefined })).to.eql({
      authorization: "Bearer the-token",
    });
    expect(callHeaders(all)).to.eql({
      authorization: "Bearer the-token",
      "x-acting-user": "the-user",
      "idempotency-key": "the-key",
    });
  });

  it("are the same for grpc-js", () => {
    expect(callMetadata(all).getMap()).to.eql(callHeaders(all));
  });
});

describe("consistencyTokenOf", () => {
  it("reads the token in the headers of Connect and of grpc-js", () => {
    const metadata = new Metadata();
    metadata.set("consistency-token", "the-token");
    for (const headers of [metadata, new Headers({ "Consistency-Token": "the-token" })])
      expect(consistencyTokenOf(headers)).to.equal("the-token");
  });

  it("is undefined where there is none", () => {
    for (const headers of [new Metadata(), new Headers()])
      expect(consistencyTokenOf(headers)).to.equal(undefined);
  });
});
