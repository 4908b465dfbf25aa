import { checked } from "./validators.ts";

/** The origins of web pages whose scripts may use the public port; `*` for all. */
export type CorsOrigins = readonly string[] | "*";

/** Exact origins as browsers send them (RFC 6454, 6.2): a path, a trailing slash or an upper-case letter is an error. */
const origins = checked<CorsOrigins>(
  "`*`, or http:// or https:// origins between commas",
  (value) => {
    if (value === "*") return value;
    const list = value.split(",").map((item) => item.trim());
    return list.every((item) => /^https?:[^*]+$/.test(item) && URL.parse(item)?.origin === item)
      ? list
      : undefined;
  },
  String,
);

export const browserVariables = {
  CORS_ORIGINS: origins({ default: [] }),
};
