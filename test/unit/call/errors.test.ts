import { readFileSync } from "node:fs";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { ErrorReason } from "../../../gen/nexgate/privacy/v1/error_reason_pb.ts";
import { reasonOf, toConnectError } from "../../../src/call/errors.ts";
import { errors, PrivacyError, type ErrorReason as Reason } from "../../../src/domain/errors.ts";

const reasons = Object.keys(errors) as Reason[];
const secret = "connection to postgres://app:hunter2@db failed";

describe("errors", () => {
  it("have exactly the reasons that the definition documents", () => {
    const documented = Object.keys(ErrorReason).filter((name) => name !== "UNSPECIFIED");
    expect(documented).to.have.members(reasons);
  });

  it("have the codes that the definition documents", () => {
    const proto = readFileSync("proto/nexgate/privacy/v1/error_reason.proto", "utf8");
    for (const [, comment, name] of proto.matchAll(/((?: {2}\/\/.*\n)+) {2}ERROR_REASON_(\w+) = [1-9]/g)) {
      const { code } = toConnectError(new PrivacyError(name as Reason));
      const documented = comment?.match(/`([A-Z_]+)`/)?.[1]?.replace("CANCELLED", "CANCELED");
      expect(Code[code].replace(/(?<!^)(?=[A-Z])/g, "_").toUpperCase(), name).to.equal(documented);
    }
  });

  for (const reason of reasons) {
    it(`${reason} keeps its message and carries its ErrorInfo`, () => {
      const mapped = toConnectError(new PrivacyError(reason, { cause: new Error(secret) }));
      expect(mapped.rawMessage).to.equal(errors[reason][1]);
      expect(mapped.findDetails(ErrorInfoSchema)[0]).to.deep.include({
        reason,
        domain: "privacy.nexgate.com",
      });
    });
  }

  for (const failure of [
    new Error(secret),
    secret,
    undefined,
    null,
    { message: secret },
    new ConnectError(secret),
  ]) {
    it(`say nothing of ${Object.prototype.toString.call(failure)} ${failure instanceof ConnectError ? "of Connect" : ""}`, () => {
      const mapped = toConnectError(failure);
      expect(mapped.code).to.equal(Code.Internal);
      expect(mapped.rawMessage).to.equal("Internal server error");
      expect(JSON.stringify([mapped.findDetails(ErrorInfoSchema), ...mapped.metadata])).not.to.contain(
        "hunter2",
      );
      expect(mapped.cause).to.equal(failure);
    });
  }

  it("do not repeat a long part of a request", () => {
    const mapped = toConnectError(
      new ConnectError(`unknown key "${"x".repeat(60_000)}"`, Code.InvalidArgument),
    );
    expect(mapped.rawMessage).to.match(/^unknown key "x{1987}$/);
    // The cut goes through a character of two halves.
    const halved = toConnectError(new ConnectError(`-${"😀".repeat(1_000)}`, Code.InvalidArgument));
    expect(halved.rawMessage).to.match(/^-(?:😀){999}\ufffd$/u);
  });

  it("of Connect itself keep code and message, and get the reason of their code", () => {
    const mapped = toConnectError(new ConnectError("cannot parse", Code.InvalidArgument));
    expect([mapped.code, mapped.rawMessage, reasonOf(mapped)]).to.eql([
      Code.InvalidArgument,
      "cannot parse",
      "INVALID_REQUEST",
    ]);
    expect(toConnectError(mapped).details).to.have.length(1);
  });

  it("challenge an unauthenticated caller (RFC 9110, RFC 6750)", () => {
    const challenge = (reason: Reason) =>
      toConnectError(new PrivacyError(reason)).metadata.get("www-authenticate");
    expect(challenge("TOKEN_REQUIRED")).to.equal("Bearer");
    expect(challenge("TOKEN_EXPIRED")).to.equal('Bearer error="invalid_token"');
    expect(challenge("USER_NOT_FOUND")).to.equal(null);
  });

  it("makes messages well-formed for every transport", () => {
    const { rawMessage } = toConnectError(new ConnectError("no \ud83d", Code.InvalidArgument));
    expect(rawMessage).to.equal("no \ufffd");
  });
});
