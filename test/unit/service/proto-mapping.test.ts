import { create, type DescEnum } from "@bufbuild/protobuf";
import { FieldMaskSchema, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { expect } from "chai";
import fc from "fast-check";
import {
  Audience,
  AudienceSchema,
  MuteScope,
  type PrivacySetting,
  PrivacySettingSchema,
  PrivacySettingsSchema,
} from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import { muteScopes } from "../../../src/domain/changes.ts";
import { defaultTerms } from "../../../src/domain/edges.ts";
import { PrivacyError } from "../../../src/domain/errors.ts";
import { audiences, privacySettings } from "../../../src/domain/settings.ts";
import type { UserId } from "../../../src/domain/users.ts";
import {
  fromEdgeRecord,
  fromSettings,
  toAudience,
  toSetting,
  toTerms,
  toTermsChange,
} from "../../../src/service/proto-mapping.ts";

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
            ...defaultTerms,
          }).createdAt ?? {};
        expect(nanos).to.be.within(0, 999_999_999);
        expect(BigInt(seconds) * 1_000_000n + BigInt(nanos) / 1_000n).to.equal(createdAt);
      }),
      { examples: [[-500_000n], [-1n], [0n]] },
    );
  });
});

describe("the terms of a request", () => {
  const { CONTENT, NOTIFICATIONS } = MuteScope;
  const time = (seconds: bigint, nanos = 0) => create(TimestampSchema, { seconds, nanos });

  it("are everything and no end where none are given", () => {
    expect(toTerms({})).to.eql(defaultTerms);
    expect(toTerms({ scopes: [] })).to.eql(defaultTerms);
  });

  it("have an expiry in microseconds, what is less than one cut off, and a bit for each scope", () => {
    const expiresAt = time(2_000_000_000n, 123_456_999);
    expect(toTerms({ expiresAt })).to.eql({ ...defaultTerms, expiresAt: 2_000_000_000_123_456n });
    expect(toTerms({ scopes: [CONTENT] }).scopes).to.equal(muteScopes.content);
    expect(toTerms({ scopes: [NOTIFICATIONS] }).scopes).to.equal(muteScopes.notifications);
    expect(toTerms({ scopes: [NOTIFICATIONS, CONTENT] }).scopes).to.equal(3);
  });

  it("are no time that protobuf does not allow", () => {
    const times: [bigint, number][] = [
      [-62_135_596_801n, 0],
      [253_402_300_800n, 0],
      [2n ** 63n - 1n, 0],
      [0n, -1],
      [0n, 1_000_000_000],
    ];
    for (const [seconds, nanos] of times)
      expect(() => toTerms({ expiresAt: time(seconds, nanos) })).to.throw(PrivacyError, "years 1 to 9999");
    expect(toTerms({ expiresAt: time(-62_135_596_800n) }).expiresAt).to.equal(-62_135_596_800_000_000n);
    expect(toTerms({ expiresAt: time(253_402_300_799n, 999_999_999) }).expiresAt).to.equal(
      253_402_300_799_999_999n,
    );
  });

  it("change what the mask names, else what is set", () => {
    const expiresAt = time(7n);
    const scopes = [CONTENT];
    const mask = (...paths: string[]) => ({ updateMask: create(FieldMaskSchema, { paths }) });
    const ends = { expiresAt: 7_000_000n };
    const covers = { scopes: muteScopes.content };
    expect(toTermsChange({})).to.eql({});
    expect(toTermsChange({ expiresAt })).to.eql(ends);
    expect(toTermsChange({ scopes })).to.eql(covers);
    expect(toTermsChange({ expiresAt, scopes })).to.eql({ ...ends, ...covers });
    expect(toTermsChange({ expiresAt, scopes, ...mask() })).to.eql({});
    expect(toTermsChange({ expiresAt, scopes, ...mask("scopes") })).to.eql(covers);
    expect(toTermsChange(mask("expires_at"))).to.eql({ expiresAt: null });
    expect(toTermsChange({ scopes: [], ...mask("scopes", "expires_at") })).to.eql(defaultTerms);
  });

  it("refuse a mask of parts of fields, which would change nothing", () => {
    for (const path of ["expires_at.seconds", "expires_at.", "scopes.0"])
      expect(() => toTermsChange({ updateMask: create(FieldMaskSchema, { paths: ["scopes", path] }) }))
        .to.throw(PrivacyError, "updateMask must name whole fields")
        .with.property("reason", "INVALID_REQUEST");
  });

  it("are written only where they are set", () => {
    const record = { id: user.id, user, createdAt: 0n, ...defaultTerms };
    const { expiresAt, scopes } = fromEdgeRecord(record);
    expect([expiresAt, scopes]).to.eql([undefined, []]);
    const limited = fromEdgeRecord({ ...record, expiresAt: 1_000_001n, scopes: 3 });
    expect(limited.expiresAt).to.eql({ seconds: 1n, nanos: 1_000 });
    expect(limited.scopes).to.eql([CONTENT, NOTIFICATIONS]);
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
