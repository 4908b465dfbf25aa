import { expect } from "chai";
import { AudienceSchema, PrivacySettingSchema } from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import { enumNames } from "../../../src/rest/codec.ts";
import { define } from "./protos.ts";

describe("the names of enum values in REST", () => {
  it("are the documented ones", () => {
    expect([...enumNames(PrivacySettingSchema).numbers]).to.deep.equal([
      ["last_seen", 1],
      ["profile_picture", 2],
      ["status", 3],
      ["read_receipts", 4],
      ["groups", 5],
    ]);
    expect([...enumNames(AudienceSchema).names]).to.deep.equal([
      [1, "all"],
      [2, "contacts"],
      [3, "contact_blacklist"],
      [4, "none"],
    ]);
  });

  const prefixes: [string, string][] = [
    ["Color", "COLOR_"],
    ["HTTPStatus", "HTTP_STATUS_"],
    ["RpcV2Kind", "RPC_V2_KIND_"],
  ];
  for (const [name, prefix] of prefixes)
    it(`strip ${prefix} from the values of ${name}`, () => {
      const { enum: desc } = define({
        messages: {},
        enums: { [name]: [`${prefix}UNSPECIFIED`, `${prefix}A1`] },
      });
      expect([...enumNames(desc(name)).numbers]).to.deep.equal([["a1", 1]]);
    });

  it("keep a zero value that means something", () => {
    const { enum: desc } = define({ messages: {}, enums: { Color: ["COLOR_RED", "COLOR_BLUE"] } });
    expect([...enumNames(desc("Color")).numbers.keys()]).to.deep.equal(["red", "blue"]);
  });

  for (const value of ["RED", "COLOR_", "COLORRED", "color_red"])
    it(`refuse an enum with the value ${value}`, () => {
      const { enum: desc } = define({ messages: {}, enums: { Color: ["COLOR_UNSPECIFIED", value] } });
      expect(() => enumNames(desc("Color"))).to.throw(
        Error,
        `the value ${value} of enum test.rest.v1.Color lacks the prefix COLOR_`,
      );
    });
});
