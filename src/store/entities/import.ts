import { defineEntity, p } from "@mikro-orm/core";

export const ServiceImportEntity = defineEntity({
  name: "ServiceImport",
  tableName: "service_imports",
  properties: {
    service: p.text().primary(),
    id: p.uuid().primary(),
    records: p.bigint().defaultRaw("0"),
    stored: p.bigint().defaultRaw("0"),
    unchanged: p.bigint().defaultRaw("0"),
    skipped: p.json().defaultRaw("'{}'"),
  },
});

/** The imports of the previous version: not read any more. */
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
