import { create } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { expect } from "chai";
import { BadRequestSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import {
  BatchCheckAccessRequestSchema,
  CheckAccessRequestSchema,
} from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { ListRelationshipsRequestSchema } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { validate } from "../../../src/call/validate.ts";

describe("validation", () => {
  it("names every field at fault: as JSON spells it to people, as the definition does to programs", () => {
    const check = (fields: object) => create(CheckAccessRequestSchema, fields);
    const message = create(BatchCheckAccessRequestSchema, {
      checks: [
        check({ viewer: { case: "viewerId", value: "x" }, ownerId: "y", interaction: 99 }),
        check({ interaction: 1 }),
      ],
    });
    let error: ConnectError | undefined;
    try {
      validate(BatchCheckAccessRequestSchema, message);
    } catch (failure) {
      error = ConnectError.from(failure);
    }
    expect(error?.rawMessage.split("; ")).to.have.members([
      "checks[0].viewerId must be a valid UUID",
      "checks[0].ownerId must be a valid UUID",
      "checks[0].interaction value must be one of the defined enum values",
      "checks[1].viewer exactly one field is required in oneof",
      "checks[1].ownerId value is empty, which is not a valid UUID",
    ]);
    const fields = error?.findDetails(BadRequestSchema)[0]?.fieldViolations.map(({ field }) => field);
    expect(fields).to.have.members([
      "checks[0].viewer_id",
      "checks[0].owner_id",
      "checks[0].interaction",
      "checks[1].viewer",
      "checks[1].owner_id",
    ]);
  });

  it("names the first 20 only, so that the answer is not larger than the request", () => {
    const failed = (broken: number) => {
      const message = create(ListRelationshipsRequestSchema, { userIds: Array<string>(broken).fill("") });
      try {
        validate(ListRelationshipsRequestSchema, message);
      } catch (failure) {
        return ConnectError.from(failure);
      }
      return expect.fail("the message is valid");
    };
    for (const [broken, rest] of [
      [20, undefined],
      [21, "and 1 more"],
      [100, "and 80 more"],
    ] as const) {
      const error = failed(broken);
      const all = Array.from(
        { length: 20 },
        (_, i) => `userIds[${i}] value is empty, which is not a valid UUID`,
      );
      expect(error.rawMessage.split("; ")).to.eql(rest === undefined ? all : [...all, rest]);
      expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations).to.have.length(20);
    }
  });
});
