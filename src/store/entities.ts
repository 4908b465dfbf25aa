import { defineEntity, p } from "@mikro-orm/core";
import type { InferKyselyDB } from "@mikro-orm/postgresql";
import type { ChangeCause, ChangeKind } from "../domain/changes.ts";
import type { ErrorReason } from "../domain/errors.ts";
import { type Audience, audiences, type PrivacySetting, privacySettings } from "../domain/settings.ts";
import type { UserId } from "../domain/users.ts";

// The schema. Tests compare it with the migrated database. Every key of an edge begins with the user who owns the row. The
// other user has an index of its own, without which erasing a user would read the whole table. Lists read their index
// backwards: MikroORM cannot compare a descending `id` beside a column whose name ends in `id`.

const UserEntity = defineEntity({
  name: "User",
  tableName: "users",
  indexes: [
    indexOn("users_user_name_index", "users (user_name text_pattern_ops)"),
    indexOn("users_erased_at_index", "users (erased_at) where erased_at is not null"),
  ],
  properties: {
    id: p.uuid().$type<UserId>().primary(),
    userName: p.text(),
    firstName: p.text(),
    lastName: p.text(),
    profilePictureUrls: p.array().columnType("text[]"),
    isVerified: p.boolean(),
    /** When the erasure of the user began: from then on the user counts as unknown. */
    erasedAt: p.datetime().columnType("timestamptz").nullable(),
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
  indexes: [
    { name: "blocks_list_index", properties: ["blocker", "createdAt", "id"] },
    { name: "blocks_blocked_id_blocker_id_index", properties: ["blocked", "blocker"] },
    indexOn("blocks_expiry_index", "blocks (expires_at) where expires_at < 'infinity'"),
  ],
  properties: {
    blocker: edgeColumn("blocker_id"),
    blocked: edgeColumn("blocked_id"),
    id: p.uuid(),
    createdAt: p.datetime().columnType("timestamptz"),
    expiresAt: expiry(),
  },
});

const MuteEntity = defineEntity({
  name: "Mute",
  tableName: "mutes",
  indexes: [
    { name: "mutes_list_index", properties: ["muter", "createdAt", "id"] },
    indexOn("mutes_expiry_index", "mutes (expires_at) where expires_at < 'infinity'"),
  ],
  properties: {
    muter: edgeColumn("muter_id"),
    muted: edgeColumn("muted_id").index(),
    id: p.uuid(),
    createdAt: p.datetime().columnType("timestamptz"),
    expiresAt: expiry(),
    /** What it covers, a bit each: see `muteScopes`. */
    scopes: p.smallint().defaultRaw("-1"),
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

/** What holds of a key after a change: see `Change`. Written by triggers. */
const ChangeEntity = defineEntity({
  name: "Change",
  tableName: "changes",
  properties: {
    xid: p.bigint().columnType("xid8").primary().defaultRaw("pg_current_xact_id()"),
    seq: p.bigint().primary().autoincrement().generated("identity"),
    at: p.datetime().columnType("timestamptz").defaultRaw("now()"),
    kind: p.text().$type<ChangeKind>(),
    cause: p.text().$type<ChangeCause>().nullable(),
    owner: p.uuid().$type<UserId>(),
    target: p.uuid().$type<UserId>().nullable(),
    present: p.boolean(),
    createdAt: p.datetime().columnType("timestamptz").nullable(),
    expiresAt: p.datetime().columnType("timestamptz").nullable(),
    scopes: p.smallint().nullable(),
    setting: p.text().$type<PrivacySetting>().nullable(),
    audience: p.text().$type<Audience>().nullable(),
  },
});

/** A snapshot of the database: between two of them lie the changes that the later one sees and the earlier one does not. */
const TickEntity = defineEntity({
  name: "Tick",
  tableName: "ticks",
  properties: {
    id: p.bigint().primary().autoincrement(false),
    snapshot: p.text().columnType("pg_snapshot"),
    at: p.datetime().columnType("timestamptz").defaultRaw("statement_timestamp()"),
    /** Tells histories apart that have the same ids. */
    nonce: p.uuid().defaultRaw("gen_random_uuid()"),
    /** The run of the server that made it: see `DatabaseState`. */
    serverStartedAt: p.datetime().columnType("timestamptz").defaultRaw("pg_postmaster_start_time()"),
    statisticsResetAt: p
      .datetime()
      .columnType("timestamptz")
      .nullable()
      .defaultRaw("pg_stat_get_bgwriter_stat_reset_time()"),
  },
});

/** Users whose rows before `seq` are to be scrubbed from the change log. */
const ErasureEntity = defineEntity({
  name: "Erasure",
  tableName: "erasures",
  properties: { userId: p.uuid().$type<UserId>().primary(), seq: p.bigint() },
});

/** The outcome of a request that its caller may repeat: a failure or a record. */
const IdempotencyKeyEntity = defineEntity({
  name: "IdempotencyKey",
  tableName: "idempotency_keys",
  properties: {
    actor: () => p.manyToOne(UserEntity).primary().joinColumn("actor_id").deleteRule("cascade"),
    key: p.text().primary(),
    /** What tells the request from others: see `digestOf`. */
    request: p.blob(),
    target: () => p.manyToOne(UserEntity).joinColumn("target_id").deleteRule("cascade").nullable().index(),
    createdAt: p.datetime().columnType("timestamptz").defaultRaw("statement_timestamp()").index(),
    failure: p.text().$type<ErrorReason>().nullable(),
    record: p.uuid().nullable(),
    recordCreatedAt: p.datetime().columnType("timestamptz").nullable(),
    recordExpiresAt: p.datetime().columnType("timestamptz").nullable(),
    recordScopes: p.smallint().nullable(),
  },
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
  ChangeEntity,
  TickEntity,
  ErasureEntity,
  IdempotencyKeyEntity,
  SigningKeyEntity,
];

/** The tables and columns by name, for Kysely's query builder. */
export type Tables = InferKyselyDB<(typeof entities)[number]>;

function edgeColumn(name: string) {
  return p.manyToOne(UserEntity).primary().joinColumn(name).deleteRule("cascade").updateRule("no action");
}

function expiry() {
  return p.datetime().columnType("timestamptz").defaultRaw("'infinity'");
}

function indexOn(name: string, on: string) {
  return { name, expression: `create index ${name} on ${on}` };
}

function oneOf(name: string, column: string, words: readonly string[]) {
  return { name, expression: `${column} in (${words.map((word) => `'${word}'`).join(", ")})` };
}
