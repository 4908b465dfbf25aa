import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { ChangeKind, type Change as ChangeMessage } from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { Audience, MuteScope, PrivacySetting } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import { allScopes, type Change, muteScopes } from "../domain/changes.ts";
import * as settings from "../domain/settings.ts";
import type { UserId } from "../domain/users.ts";

/** Every kind but follows. */
export const kindsWithoutFollows = [
  ChangeKind.BLOCK,
  ChangeKind.MUTE,
  ChangeKind.SETTING,
  ChangeKind.EXCEPTION,
  ChangeKind.USER,
];

const upper = <Name extends string>(name: Name) => name.toUpperCase() as Uppercase<Name>;

const settingNames = new Map<PrivacySetting, settings.PrivacySetting>(
  settings.privacySettings.map((name) => [PrivacySetting[upper(name)], name]),
);
const audienceNames = new Map<Audience, settings.Audience>(
  settings.audiences.map((name) => [Audience[upper(name)], name]),
);
const scopeBits = new Map<MuteScope, number>([
  [MuteScope.CONTENT, muteScopes.content],
  [MuteScope.NOTIFICATIONS, muteScopes.notifications],
]);

/** What is common to the changes that a copy applies: it does not depend on their causes and times. */
const base = { cause: null, changedAt: null } as const;

/** Reads a change; undefined for one of a later release, on which no decision of this one depends. */
export function readChange({ version, change: { case: field, value } }: ChangeMessage): Change | undefined {
  switch (field) {
    case "block":
    case "mute":
    case "follow": {
      const { present, expiresAt, scopes } = value;
      return {
        ...base,
        version,
        kind: field,
        owner: value.ownerId as UserId,
        target: value.targetId as UserId,
        edge: present
          ? { createdAt: 0n, expiresAt: expiresAt ? microsOf(expiresAt) : null, scopes: readScopes(scopes) }
          : null,
      };
    }
    case "setting": {
      const setting = settingNames.get(value.setting);
      if (setting === undefined) return undefined;
      const { audience } = value;
      // An audience of a later release includes nobody.
      const chosen = audience === Audience.UNSPECIFIED ? null : (audienceNames.get(audience) ?? "none");
      return { ...base, version, kind: field, owner: value.userId as UserId, setting, audience: chosen };
    }
    case "exception": {
      const setting = settingNames.get(value.setting);
      if (setting === undefined) return undefined;
      return {
        ...base,
        version,
        kind: field,
        owner: value.userId as UserId,
        setting,
        target: value.exceptedId as UserId,
        present: value.present,
      };
    }
    case "userAdded":
    case "userErased":
      return {
        ...base,
        version,
        kind: "user",
        owner: value.userId as UserId,
        present: field === "userAdded",
      };
    default:
      return undefined;
  }
}

/** The bits of scopes, without those of a later release; none stands for everything. */
function readScopes(scopes: readonly MuteScope[]): number {
  if (scopes.length === 0) return allScopes;
  return scopes.reduce<number>((bits, scope) => bits | (scopeBits.get(scope) ?? 0), 0);
}

/** Microseconds since 1970. */
export function microsOf({ seconds, nanos }: Timestamp): bigint {
  return seconds * 1_000_000n + BigInt(Math.trunc(nanos / 1_000));
}
