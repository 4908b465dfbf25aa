import { defineEntity, p } from "@mikro-orm/core";
import { UserEntity } from "./user.ts";

// Every key begins with the user who owns the row, so that the tables can be distributed by that column. The other
// side has an index of its own, without which erasing a user would read the whole table. Lists read their index
// backwards: MikroORM cannot compare a descending `id` beside a column whose name ends in `id`.

export const FollowEntity = defineEntity({
  name: "Follow",
  tableName: "follows",
  properties: {
    follower: userColumn("follower_id"),
    followee: userColumn("followee_id").index(),
    createdAt: p.datetime().columnType("timestamptz"),
  },
});

export const BlockEntity = defineEntity({
  name: "Block",
  tableName: "blocks",
  indexes: [{ name: "blocks_list_index", properties: ["blocker", "createdAt", "id"] }],
  properties: {
    blocker: userColumn("blocker_id"),
    blocked: userColumn("blocked_id").index(),
    id: p.uuid(),
    createdAt: p.datetime().columnType("timestamptz"),
  },
});

export const MuteEntity = defineEntity({
  name: "Mute",
  tableName: "mutes",
  indexes: [{ name: "mutes_list_index", properties: ["muter", "createdAt", "id"] }],
  properties: {
    muter: userColumn("muter_id"),
    muted: userColumn("muted_id").index(),
    id: p.uuid(),
    createdAt: p.datetime().columnType("timestamptz"),
  },
});

function userColumn(name: string) {
  return p.manyToOne(UserEntity).primary().joinColumn(name).deleteRule("cascade").updateRule("no action");
}
