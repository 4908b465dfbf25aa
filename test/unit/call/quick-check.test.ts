import { randomUUID } from "node:crypto";
import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { expect } from "chai";
import fc from "fast-check";
import {
  AccessService,
  BatchCheckAccessRequestSchema,
  CheckAccessRequestSchema,
  FilterUsersRequestSchema,
} from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import {
  PrivacyControlService,
  UpdatePrivacySettingRequestSchema,
} from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { quickCheckOf } from "../../../src/call/quick-check.ts";

const validator = createValidator();
const id = randomUUID();
const string = fc.oneof(
  { weight: 4, arbitrary: fc.uuid() },
  fc.constantFrom(
    "",
    id.toUpperCase(),
    `${id}\n`,
    ` ${id}`,
    id.slice(1),
    `${id}0`,
    id.replaceAll("-", ""),
    "\u0130",
  ),
);
const number = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 12 }) },
  fc.constantFrom(-1, 0, 13, 99, 1.5),
);
const viewer = fc.oneof(
  { weight: 4, arbitrary: string.map((value) => ({ case: "viewerId", value }) as const) },
  fc.boolean().map((value) => ({ case: "signedOut", value }) as const),
  fc.constant({ case: undefined }),
);
const check = fc
  .record({ viewer, ownerId: string, interaction: number })
  .map((fields) => create(CheckAccessRequestSchema, fields as object));
const long = (item: unknown) => fc.constantFrom(1_000, 1_001).map((length) => Array(length).fill(item));
const good = create(CheckAccessRequestSchema, {
  viewer: { case: "viewerId", value: id },
  ownerId: id,
  interaction: 1,
});

const messages: [DescMessage, fc.Arbitrary<MessageShape<DescMessage>>][] = [
  [CheckAccessRequestSchema, check],
  [
    BatchCheckAccessRequestSchema,
    fc
      .oneof({ weight: 9, arbitrary: fc.array(check, { maxLength: 3 }) }, long(good))
      .map((checks) => create(BatchCheckAccessRequestSchema, { checks })),
  ],
  [
    FilterUsersRequestSchema,
    fc
      .record({
        viewer,
        ownerIds: fc.oneof({ weight: 9, arbitrary: fc.array(string, { maxLength: 3 }) }, long(id)),
        interaction: number,
      })
      .map((fields) => create(FilterUsersRequestSchema, fields as object)),
  ],
  [
    UpdatePrivacySettingRequestSchema,
    fc
      .record({ setting: number, value: number })
      .map((fields) => create(UpdatePrivacySettingRequestSchema, fields as object)),
  ],
];

describe("the quick check", () => {
  for (const [schema, arbitrary] of messages) {
    it(`says of every ${schema.name} what the validator says`, () => {
      const quick = quickCheckOf(schema);
      const said = new Set<boolean>();
      fc.assert(
        fc.property(arbitrary, (message) => {
          const valid = validator.validate(schema, message).kind === "valid";
          said.add(valid);
          expect(quick?.(message)).to.equal(valid);
        }),
        { numRuns: 500 },
      );
      expect([...said]).to.have.members([true, false]);
    });
  }

  it("knows the rules of all decisions, and leaves others to the validator", () => {
    const inputs = [AccessService, PrivacyControlService, GraphService].flatMap(({ methods }) => [
      ...methods,
    ]);
    const known = inputs.filter(({ input }) => quickCheckOf(input) !== undefined).map(({ name }) => name);
    expect(known).to.include.members(["CheckAccess", "BatchCheckAccess", "FilterUsers", "BlockUser"]);
    expect(known).to.not.include.members(["UpsertUsers", "ListBlockedUsers", "UpdatePrivacyExceptions"]);
  });

  it("needs a user id to be a UUID wherever one is asked for", () => {
    for (const { input } of [AccessService, PrivacyControlService, GraphService].flatMap(({ methods }) => [
      ...methods,
    ])) {
      for (const field of input.fields.filter(({ name }) =>
        /(?:user|viewer|owner|follower|followee)_ids?$/.test(name),
      )) {
        const value = field.fieldKind === "list" ? ["x"] : "x";
        const inOneof = field.oneof && { [field.oneof.localName]: { case: field.localName, value } };
        const message = create(input, inOneof ?? { [field.localName]: value });
        const { violations = [] } = validator.validate(input, message);
        expect(
          violations.map(({ ruleId }) => ruleId),
          `${input.name}.${field.name}`,
        ).to.include("string.uuid");
      }
    }
  });
});
