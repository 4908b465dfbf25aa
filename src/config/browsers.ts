import { checked } from "./validators.ts";

/** The origins of web pages whose scripts may use the public port; `*` for all. */
export type CorsOrigins = readonly string[] | "*";

/**
 * Exact origins as browsers send them (RFC 6454, 6.2): a path, a trailing slash or an upper-case letter is an error.
 * Apps that show web pages of their own have schemes of their own: `capacitor://localhost`, `app://name`.
 */
const origins = checked<CorsOrigins>(
  "`*`, or origins (https://app.example, capacitor://localhost) between commas",
  (value) => {
    if (value === "*") return value;
    const list = value.split(",").map((item) => item.trim());
    return list.every(isOrigin) ? list : undefined;
  },
  String,
);

function isOrigin(text: string): boolean {
  const origin = URL.parse(text)?.origin;
  if (/^https?:/.test(text)) return !text.includes("*") && origin === text;
  // URLs know no origins of schemes that are an app's own.
  return (
    origin === "null" &&
    !text.startsWith("file:") &&
    /^[a-z][a-z\d+.-]*:\/\/[a-z\d._-]+(?::\d{1,5})?$/.test(text)
  );
}

export const browserVariables = {
  CORS_ORIGINS: origins({ default: [] }),
};
