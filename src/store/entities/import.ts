import { defineEntity, p } from "@mikro-orm/core";

export const ImportEntity = defineEntity({
  name: "Import",
  tableName: "imports",
  properties: {
    id: p.uuid().primary(),
    records: p.bigint().defaultRaw("0"),
    stored: p.bigint().defaultRaw("0"),
    unchanged: p.bigint().defaultRaw("0"),
    skipped: p.json().defaultRaw("'{}'"),
  },
});
