import { defineEntity, p } from "@mikro-orm/core";

export const RateDebtEntity = defineEntity({
  name: "RateDebt",
  tableName: "rate_debts",
  properties: {
    caller: p.text().primary(),
    clearAt: p.datetime().columnType("timestamptz"),
  },
});
