import { create } from "@bufbuild/protobuf";
import { expect } from "chai";
import { ReplySchema } from "../../../gen/nexgate/rest/v1/reply_pb.ts";
import { formatOf, globeEnvelope, statusEnvelope } from "../../../src/rest/envelopes.ts";
import { type Failure, statusFailure } from "../../../src/rest/failure.ts";
import { Envelope } from "./protos.ts";

const time = "2025-12-11T10:30:45Z";

describe("the globe envelope", () => {
  it("wraps data", () => {
    expect(`${globeEnvelope.beforeData('Said "so"', time)}[]}`).to.equal(
      `{"success":true,"httpStatus":"OK","message":"Said \\"so\\"","action_time":"${time}","data":[]}`,
    );
  });

  it("says null where there is no data", () => {
    expect(globeEnvelope.withoutData("Done", time)).to.equal(
      `{"success":true,"httpStatus":"OK","message":"Done","action_time":"${time}","data":null}`,
    );
  });

  it("repeats the message of a failure", () => {
    expect(
      globeEnvelope.failure(
        { status: 404, message: "User not found", reason: "USER_NOT_FOUND" },
        undefined,
        time,
      ),
    ).to.equal(
      `{"success":false,"httpStatus":"NOT_FOUND","message":"User not found","action_time":"${time}","data":"User not found"}`,
    );
  });

  it("is the one when no method is reached", () => {
    expect(formatOf(undefined)).to.equal(globeEnvelope);
    expect(formatOf(create(ReplySchema, { envelope: Envelope.GLOBE }))).to.equal(globeEnvelope);
    expect(formatOf(create(ReplySchema, { envelope: Envelope.STATUS }))).to.equal(statusEnvelope);
  });
});

describe("the status envelope", () => {
  const silent = create(ReplySchema, { envelope: Envelope.STATUS });
  const worded = create(ReplySchema, {
    envelope: Envelope.STATUS,
    invalidRequestMessage: "Invalid setting or value",
    failureMessage: "Failed to update privacy settings",
  });

  it("wraps data", () => {
    expect(`${statusEnvelope.beforeData("Got", time)}{}}`).to.equal(
      '{"status":true,"code":200,"message":"Got","data":{}}',
    );
  });

  it("has no data where there is none", () => {
    expect(statusEnvelope.withoutData("Done", time)).to.equal('{"status":true,"code":200,"message":"Done"}');
  });

  const invalid = { status: 400, message: "value must be x", reason: "INVALID_REQUEST" };
  const failures: [string, Failure, typeof worded | undefined, string, string][] = [
    ["a broken rule", invalid, worded, "Bad request", "Invalid setting or value"],
    ["a broken rule, no wording", invalid, silent, "Bad request", "value must be x"],
    [
      "a type mismatch",
      { ...invalid, problem: "type_mismatch" },
      worded,
      "Bad request",
      "Invalid setting or value",
    ],
    [
      "a type mismatch, no wording",
      { ...invalid, problem: "type_mismatch" },
      silent,
      "Bad request",
      "value must be x",
    ],
    ["an unknown field", { ...invalid, problem: "unknown" }, worded, "Bad request", "value must be x"],
    ["malformed JSON", { ...invalid, problem: "malformed" }, worded, "Bad request", "Bad request"],
    [
      "a business rule",
      { status: 400, message: "Invalid page token", reason: "INVALID_PAGE_TOKEN" },
      worded,
      "Bad request",
      "Invalid page token",
    ],
    [
      "no token",
      { status: 401, message: "Authentication token is required", reason: "TOKEN_REQUIRED" },
      worded,
      "Unauthorized",
      "Invalid or missing authentication",
    ],
    ...["TOKEN_MALFORMED", "TOKEN_INVALID", "TOKEN_EXPIRED"].map((reason): (typeof failures)[number] => [
      `a bad token: ${reason}`,
      { status: 401, message: "Internal wording", reason },
      worded,
      "Unauthorized",
      "Invalid or expired JWT token",
    ]),
    [
      "a failure",
      { status: 500, message: "Internal server error", reason: "INTERNAL" },
      worded,
      "Internal server error",
      "Failed to update privacy settings",
    ],
    [
      "a failure, no wording",
      { status: 500, message: "Internal server error", reason: "INTERNAL" },
      silent,
      "Internal server error",
      "Internal server error",
    ],
    [
      "an outage",
      { status: 503, message: "Try again", reason: "UNAVAILABLE" },
      worded,
      "Service unavailable",
      "Try again",
    ],
    [
      "another media type",
      { status: 415, message: "JSON, please", reason: "UNSUPPORTED", problem: "media_type" },
      worded,
      "Unsupported media type",
      "JSON, please",
    ],
    ["no method", statusFailure(405), undefined, "Method not allowed", "Method not allowed"],
  ];
  for (const [what, failure, reply, message, error] of failures)
    it(`words ${what}`, () =>
      expect(statusEnvelope.failure(failure, reply, time)).to.equal(
        `{"status":false,"code":${failure.status},"message":"${message}","error":"${error}"}`,
      ));
});
