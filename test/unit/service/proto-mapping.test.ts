import type { DescEnum } from "@bufbuild/protobuf";
import { expect } from "chai";
import fc from "fast-check";
import {
  Audience,
  AudienceSchema,
  type PrivacySetting,
  PrivacySettingSchema,
  PrivacySettingsSchema,
} from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import { allScopes } from "../../../src/domain/changes.ts";
import { audiences, privacySettings } from "../../../src/domain/settings.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { fromEdgeRecord, fromSettings, toAudience, toSetting } from "../../../src/service/proto-mapping.ts";

const user = {
  id: "a11ce000-0000-4000-8000-000000000001" as UserId,
  userName: "alice",
  firstName: "",
  lastName: "",
  profilePictureUrls: [],
  isVerified: false,
};

describe("the time of a record", () => {
  it("is a legal Timestamp, before 1970 too", () => {
    const micros = fc.bigInt({ min: -62_135_596_800_000_000n, max: 253_402_300_799_999_999n });
    fc.assert(
      fc.property(micros, (createdAt) => {
        const { seconds = 0n, nanos = 0 } =
          fromEdgeRecord({
            id: user.id,
            user,
            createdAt,
            expiresAt: null,
            scopes: allScopes,
          }).createdAt ?? {};
        expect(nanos).to.be.within(0, 999_999_999);
        expect(BigInt(seconds) * 1_000_000n + BigInt(nanos) / 1_000n).to.equal(createdAt);
      }),
      { examples: [[-500_000n], [-1n], [0n]] },
    );
  });
});

describe("the settings and audiences of the definition", () => {
  const namesOf = (schema: DescEnum) => schema.values.slice(1).map(({ name }) => name.toLowerCase());

  it("are those of the domain", () => {
    const name = (value: string) => value.replace(/^(privacy_setting|audience)_/, "");
    expect(namesOf(PrivacySettingSchema).map(name)).to.eql([...privacySettings]);
    expect(namesOf(AudienceSchema).map(name)).to.eql([...audiences]);
    expect(PrivacySettingsSchema.fields.map((field) => field.name)).to.eql([...privacySettings]);
  });

  it("are read one for one, and nothing else is", () => {
    const settings = PrivacySettingSchema.values
      .slice(1)
      .map(({ number }) => toSetting(number as PrivacySetting));
    expect(settings).to.eql([...privacySettings]);
    const read = AudienceSchema.values.slice(1).map(({ number }) => toAudience(number as Audience));
    expect(read).to.eql([...audiences]);
    for (const value of [0, 99]) {
      expect(() => toSetting(value as PrivacySetting)).to.throw("Invalid request");
      expect(() => toAudience(value as Audience)).to.throw("Invalid request");
    }
  });

  it("are written into the field of each setting", () => {
    const chosen = {
      last_seen: "all",
      profile_picture: "contacts",
      status: "contact_blacklist",
      read_receipts: "none",
      groups: "all",
    } as const;
    expect(fromSettings(chosen)).to.eql({
      lastSeen: Audience.ALL,
      profilePicture: Audience.CONTACTS,
      status: Audience.CONTACT_BLACKLIST,
      readReceipts: Audience.NONE,
      groups: Audience.ALL,
    });
  });
});
