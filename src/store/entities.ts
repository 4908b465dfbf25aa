import { defineEntity, p } from "@mikro-orm/core";
import type { InferKyselyDB } from "@mikro-orm/postgresql";
import { type Audience, audiences, type PrivacySetting, privacySettings } from "../domain/settings.ts";
import type { UserId } from "../domain/users.ts";

// The schema. Tests compare it with the migrated database. Every key of an edge begins with the user who owns the row. The
// other user has an index of its own, without which erasing a user would read the whole table. Lists read their index
// backwards: MikroORM cannot compare a descending `id` beside a column whose name ends in `id`.

const UserEntity = defineEntity({
  name: "User",
  tableName: "users",
  properties: {
    id: p.uuid().$type<UserId>().primary(),
    userName: p.text(),
    firstName: p.text(),
    lastName: p.text(),
    profilePictureUrls: p.array().columnType("text[]"),
    isVerified: p.boolean(),
  },
});

const FollowEntity = defineEntity({
  name: "Follow",
  tableName: "follows",
  properties: {
    follower: edgeColumn("follower_id"),
    followee: edgeColumn("followee_id").index(),
    createdAt: p.datetime().columnType("timestamptz"),
  },
});

const BlockEntity = defineEntity({
  name: "Block",
  tableName: "blocks",
  indexes: [{ name: "blocks_list_index", properties: ["blocker", "createdAt", "id"] }],
  properties: {
    blocker: edgeColumn("blocker_id"),
    blocked: edgeColumn("blocked_id").index(),
    id: p.uuid(),
    createdAt: p.datetime().columnType("timestamptz"),
  },
});

const MuteEntity = defineEntity({
  name: "Mute",
  tableName: "mutes",
  indexes: [{ name: "mutes_list_index", properties: ["muter", "createdAt", "id"] }],
  properties: {
    muter: edgeColumn("muter_id"),
    muted: edgeColumn("muted_id").index(),
    id: p.uuid(),
    createdAt: p.datetime().columnType("timestamptz"),
  },
});

const PrivacySettingEntity = defineEntity({
  name: "PrivacySetting",
  tableName: "privacy_settings",
  checks: [
    oneOf("privacy_settings_setting_check", "setting", privacySettings),
    oneOf("privacy_settings_audience_check", "audience", audiences),
  ],
  properties: {
    user: () => p.manyToOne(UserEntity).primary().joinColumn("user_id").deleteRule("cascade"),
    setting: p.text().$type<PrivacySetting>().primary(),
    audience: p.text().$type<Audience>(),
  },
});

const PrivacyExceptionEntity = defineEntity({
  name: "PrivacyException",
  tableName: "privacy_exceptions",
  checks: [oneOf("privacy_exceptions_setting_check", "setting", privacySettings)],
  properties: {
    user: () => p.manyToOne(UserEntity).primary().joinColumn("user_id").deleteRule("cascade"),
    setting: p.text().$type<PrivacySetting>().primary(),
    excepted: () => p.manyToOne(UserEntity).primary().joinColumn("excepted_id").deleteRule("cascade").index(),
    createdAt: p.datetime().columnType("timestamptz"),
  },
});

const importProgress = {
  records: p.bigint().defaultRaw("0"),
  stored: p.bigint().defaultRaw("0"),
  unchanged: p.bigint().defaultRaw("0"),
  skipped: p.json().$type<Readonly<Record<string, number>>>().defaultRaw("'{}'"),
};

const ServiceImportEntity = defineEntity({
  name: "ServiceImport",
  tableName: "service_imports",
  properties: { service: p.text().primary(), id: p.uuid().primary(), ...importProgress },
});

/** The imports of the previous version: not read any more. */
const ImportEntity = defineEntity({
  name: "Import",
  tableName: "imports",
  properties: { id: p.uuid().primary(), ...importProgress },
});

const SigningKeyEntity = defineEntity({
  name: "SigningKey",
  tableName: "signing_keys",
  checks: [{ name: "signing_keys_single_check", expression: "id = 1" }],
  properties: { id: p.smallint().primary().autoincrement(false), key: p.blob() },
});

export const entities = [
  UserEntity,
  FollowEntity,
  BlockEntity,
  MuteEntity,
  PrivacySettingEntity,
  PrivacyExceptionEntity,
  ServiceImportEntity,
  ImportEntity,
  SigningKeyEntity,
];

/** The tables and columns by name, for Kysely's query builder. */
export type Tables = InferKyselyDB<(typeof entities)[number]>;

function edgeColumn(name: string) {
  return p.manyToOne(UserEntity).primary().joinColumn(name).deleteRule("cascade").updateRule("no action");
}

function oneOf(name: string, column: string, words: readonly string[]) {
  return { name, expression: `${column} in (${words.map((word) => `'${word}'`).join(", ")})` };
}
