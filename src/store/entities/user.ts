import { defineEntity, p } from "@mikro-orm/core";

export const UserEntity = defineEntity({
  name: "User",
  tableName: "users",
  properties: {
    id: p.uuid().primary(),
    userName: p.text(),
    firstName: p.text(),
    lastName: p.text(),
    profilePictureUrls: p.array().columnType("text[]"),
    isVerified: p.boolean(),
  },
});
