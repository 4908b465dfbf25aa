import { defineEntity, p } from "@mikro-orm/core";
import { UserEntity } from "./user.ts";

export const PrivacyExceptionEntity = defineEntity({
  name: "PrivacyException",
  tableName: "privacy_exceptions",
  checks: [
    {
      name: "privacy_exceptions_setting_check",
      expression: "setting in ('last_seen', 'profile_picture', 'status', 'read_receipts', 'groups')",
    },
  ],
  properties: {
    user: () => p.manyToOne(UserEntity).primary().joinColumn("user_id").deleteRule("cascade"),
    setting: p.text().primary(),
    excepted: () => p.manyToOne(UserEntity).primary().joinColumn("excepted_id").deleteRule("cascade").index(),
    createdAt: p.datetime().columnType("timestamptz"),
  },
});
