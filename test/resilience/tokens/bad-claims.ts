import type { Claims } from "./hostile-tokens.ts";

const now = () => Math.floor(Date.now() / 1000);

/** Claims that no token may have, by what is wrong with them; everything else about them is good. */
export function badClaims(good: Claims): [what: string, claims: Claims][] {
  const other = good.aud === "users" ? "services" : "users";
  return [
    ["expired beyond the tolerance", { ...good, exp: now() - 31 }],
    ["expired at the beginning", { ...good, exp: 0 }],
    ["an end before time", { ...good, exp: -1e300 }],
    ["no end", { ...good, exp: undefined }],
    ["an end that is text", { ...good, exp: String(now() + 600) }],
    ["an end that is null", { ...good, exp: null }],
    ["an end that is a list", { ...good, exp: [now() + 600] }],
    ["not yet good", { ...good, nbf: now() + 600 }],
    ["a beginning that is text", { ...good, nbf: "now" }],
    ["no issuer", { ...good, iss: undefined }],
    ["another issuer", { ...good, iss: "https://evil.example" }],
    ["the issuer in another case", { ...good, iss: String(good.iss).toUpperCase() }],
    ["issuers in a list", { ...good, iss: [good.iss] }],
    ["no audience", { ...good, aud: undefined }],
    ["an empty audience", { ...good, aud: "" }],
    ["no audience in a list", { ...good, aud: [] }],
    ["the audience of the other listener", { ...good, aud: other }],
    ["both audiences", { ...good, aud: [good.aud, other] }],
    ["an audience that is an object", { ...good, aud: { [String(good.aud)]: true } }],
    ["audiences in one text", { ...good, aud: `${good.aud} ${other}` }],
    ["no subject", { ...good, sub: undefined }],
    ["an empty subject", { ...good, sub: "" }],
    ["a subject that is a number", { ...good, sub: 1 }],
    ["a subject that is a list", { ...good, sub: [good.sub] }],
    ["a subject that is null", { ...good, sub: null }],
  ];
}

/** Subjects that no user's token may have: a service may be called anything. */
export function badSubjects(good: Claims): [what: string, claims: Claims][] {
  const sub = String(good.sub);
  return [
    ["nobody's id", { ...good, sub: "999e9999-e99b-99d9-a999-999999999999" }],
    ["a name", { ...good, sub: "alice" }],
    ["a space after the id", { ...good, sub: `${sub} ` }],
    ["a line after the id", { ...good, sub: `${sub}\n` }],
    ["braces around the id", { ...good, sub: `{${sub}}` }],
    ["no dashes in the id", { ...good, sub: sub.replaceAll("-", "") }],
    ["a very long one", { ...good, sub: "a".repeat(9_000) }],
    ["two ids", { ...good, sub: `${sub},${sub}` }],
    ["a statement", { ...good, sub: `${sub}' or '1'='1` }],
  ];
}
