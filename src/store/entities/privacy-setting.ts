import { defineEntity, p } from "@mikro-orm/core";
import { UserEntity } from "./user.ts";

export const PrivacySettingEntity = defineEntity({
  name: "PrivacySetting",
  tableName: "privacy_settings",
  checks: [
    {
      name: "privacy_settings_setting_check",
      expression: "setting in ('last_seen', 'profile_picture', 'status', 'read_receipts', 'groups')",
    },
    {
      name: "privacy_settings_audience_check",
      expression: "audience in ('all', 'contacts', 'contact_blacklist', 'none')",
    },
  ],
  properties: {
    user: () => p.manyToOne(UserEntity).primary().joinColumn("user_id").deleteRule("cascade"),
    setting: p.text().primary(),
    audience: p.text(),
  },
});
