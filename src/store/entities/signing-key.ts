import { defineEntity, p } from "@mikro-orm/core";

export const SigningKeyEntity = defineEntity({
  name: "SigningKey",
  tableName: "signing_keys",
  checks: [{ name: "signing_keys_single_check", expression: "id = 1" }],
  properties: {
    id: p.smallint().primary().autoincrement(false),
    key: p.blob(),
  },
});
