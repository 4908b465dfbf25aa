import { create, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { expect } from "chai";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../../gen/google/rpc/status_pb.ts";
import { ErrorReason } from "../../../gen/nexgate/privacy/v1/error_reason_pb.ts";
import { toConnectError } from "../../../src/call/errors.ts";
import { type CallFailure, callFailure } from "../../../src/client/errors.ts";
import { errors, PrivacyError } from "../../../src/domain/errors.ts";

/** The same error as grpc-js has it. */
function serviceError(error: ConnectError): ServiceError {
  const metadata = new Metadata();
  for (const [name, value] of error.metadata) metadata.set(name, value);
  const details = [ErrorInfoSchema, RetryInfoSchema, BadRequestSchema].flatMap((schema) =>
    error.findDetails(schema).map((detail) => anyPack(schema, detail)),
  );
  const bytes = toBinary(StatusSchema, create(StatusSchema, { code: error.code, details }));
  metadata.set("grpc-status-details-bin", Buffer.from(bytes));
  return withMetadata(metadata, error.code, error.rawMessage);
}

const withMetadata = (metadata: Metadata, code: number, details: string): ServiceError =>
  Object.assign(new Error(`${code}: ${details}`), { code, details, metadata });

/** What is read of an error of the service, which must be the same for Connect and for grpc-js. */
function read(error: ConnectError): CallFailure | undefined {
  const failure = callFailure(error);
  expect(callFailure(serviceError(error))).to.eql(failure);
  return failure;
}

describe("callFailure", () => {
  for (const reason of Object.keys(errors) as (keyof typeof errors)[]) {
    it(`reads ${reason}`, () => {
      const failure = read(toConnectError(new PrivacyError(reason)));
      expect(failure).to.include({ reason: ErrorReason[reason], message: errors[reason][1] });
    });
  }

  it("tells which calls to repeat", () => {
    const retry = (reason: keyof typeof errors) => read(toConnectError(new PrivacyError(reason)))?.retry;
    const advised = (advice: string) =>
      (Object.keys(errors) as (keyof typeof errors)[]).filter((reason) => retry(reason) === advice);
    expect(advised("safe")).to.have.members(["RATE_LIMITED", "OVERLOADED"]);
    expect(advised("uncertain")).to.have.members(["UNAVAILABLE", "DEADLINE_EXCEEDED"]);
    expect(advised("no")).to.have.length(Object.keys(errors).length - 4);
  });

  it("reads for how long to wait, and the request id", () => {
    const error = toConnectError(new PrivacyError("RATE_LIMITED", { retryAfter: 3 }));
    error.metadata.set("x-request-id", "the-request");
    expect(read(error)).to.deep.include({
      retryAfterMs: 3_000,
      requestId: "the-request",
      metadata: { "retry-after": "3", "x-request-id": "the-request" },
    });
  });

  it("reads the fields that break their rules", () => {
    const fieldViolations = [{ field: "owner_id", description: "must be a UUID" }];
    const error = new ConnectError("owner_id must be a UUID", Code.InvalidArgument, undefined, [
      { desc: BadRequestSchema, value: { fieldViolations } },
    ]);
    expect(read(error)?.violations).to.eql(fieldViolations);
  });

  it("knows no reason of others, nor one that is newer", () => {
    const withInfo = (reason: string, domain: string) =>
      new ConnectError("", Code.Internal, undefined, [{ desc: ErrorInfoSchema, value: { reason, domain } }]);
    expect(read(withInfo("INTERNAL", "example.com"))?.reason).to.equal(ErrorReason.UNSPECIFIED);
    expect(read(withInfo("OF_A_LATER_RELEASE", "privacy.nexgate.com"))?.reason).to.equal(
      ErrorReason.UNSPECIFIED,
    );
  });

  it("reads the errors that the client's library makes", () => {
    expect(read(new ConnectError("the operation timed out", Code.DeadlineExceeded))).to.include({
      reason: ErrorReason.UNSPECIFIED,
      retry: "uncertain",
    });
    const typeUrl = `type.googleapis.com/${ErrorInfoSchema.typeName}`;
    const brokenDetail = create(StatusSchema, { details: [{ typeUrl, value: Buffer.from("no message") }] });
    for (const bytes of [Buffer.from("no message"), toBinary(StatusSchema, brokenDetail)]) {
      const broken = new Metadata();
      broken.set("grpc-status-details-bin", Buffer.from(bytes));
      expect(callFailure(withMetadata(broken, status.UNAVAILABLE, "refused"))).to.include({
        reason: ErrorReason.UNSPECIFIED,
        message: "refused",
      });
    }
  });

  it("reads nothing else", () => {
    for (const other of [undefined, null, "text", new Error("any"), Object.assign(new Error(), { code: 14 })])
      expect(callFailure(other)).to.equal(undefined);
  });
});
