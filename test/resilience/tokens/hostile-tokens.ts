import { randomBytes } from "node:crypto";
import { badClaims } from "./bad-claims.ts";
import type { Key } from "./key-server.ts";
import { encode, forged, type Signer, token } from "./sign.ts";

/** Claims of a good token. */
export type Claims = Readonly<Record<string, unknown>>;

/**
 * Values of an `Authorization` header that must be rejected, by what is wrong with them. `signer` signs
 * good tokens, `stranger` is not known to the service under the key id of its own.
 */
export function hostileTokens(signer: Signer, stranger: Key, good: Claims): Record<string, string> {
  const valid = token(signer, good);
  const [head = "", body = "", signature = ""] = valid.split(".");
  const unsigned = (alg: unknown) => `${encode({ alg, typ: "JWT" })}.${encode(good)}.`;
  const flipped = (text: string, at: number) =>
    text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1);
  const kid = typeof signer === "string" ? undefined : signer.kid;
  const asStranger = (header: object) => token(stranger, good, header);
  const publicText = typeof signer === "string" ? "" : JSON.stringify(signer.jwk);

  return {
    ...Object.fromEntries(
      badClaims(good).map(([what, claims]) => [`claims: ${what}`, token(signer, claims)]),
    ),
    "no token at all": "",
    "a scheme alone": "Bearer",
    "another scheme": `Basic ${valid}`,
    "two schemes": `Bearer Bearer ${valid}`,
    "two tokens": `Bearer ${valid}, Bearer ${valid}`,
    "alg none": unsigned("none"),
    "alg None": unsigned("None"),
    "alg NONE": unsigned("NONE"),
    "alg nOnE": unsigned("nOnE"),
    "an empty alg": unsigned(""),
    "alg null": unsigned(null),
    "alg that is a list": unsigned(["none"]),
    "alg none, signed": token(signer, good, { alg: "none" }),
    "no alg": token(signer, good, { alg: undefined }),
    "alg in another case": token(signer, good, { alg: typeof signer === "string" ? "hs256" : "es256" }),
    "no signature": `${head}.${body}.`,
    "half a signature": `${head}.${body}.${signature.slice(0, signature.length / 2)}`,
    "a longer signature": `${valid}AAAA`,
    "a signature of zeros": `${head}.${body}.${encode("\0".repeat(64))}`,
    "a random signature": `${head}.${body}.${randomBytes(64).toString("base64url")}`,
    "another signature": flipped(valid, valid.length - 20),
    "another payload": `${head}.${encode({ ...good, sub: "b0b00000-0000-4000-8000-000000000002" })}.${signature}`,
    "another header": `${encode({ alg: "HS256", x: 1 })}.${body}.${signature}`,
    "no header": `.${body}.${signature}`,
    "no payload": `${head}..${signature}`,
    "four parts": `${valid}.${body}`,
    "five parts, as an encrypted token": `${head}.${body}.${signature}.${body}.${signature}`,
    "two parts": `${head}.${body}`,
    "padded base64": `${head}=.${body}=.${signature}=`,
    "plain base64": `${head}.${body}.+/${signature.slice(2)}`,
    "a space inside": `${head}. ${body}.${signature}`,
    "a tab inside": `${head}.\t${body}.${signature}`,
    "a header that is no JSON": token(signer, good, "alg=HS256"),
    "a header that is a list": token(signer, good, '["HS256"]'),
    "a header with two algs": token(signer, good, '{"alg":"none","alg":"HS384"}'),
    "a payload that is no JSON": token(signer, "sub=alice"),
    "a payload that is a list": token(signer, [good]),
    "a payload that is null": token(signer, null),
    "a payload that is text": token(signer, '"alice"'),
    "a payload of bad UTF-8": `${head}.${Buffer.from([0xff, 0xfe, 0x7b]).toString("base64url")}.${signature}`,
    "a payload that is not encoded": token(signer, good, { b64: false, crit: ["b64"] }),
    "an unknown critical header": token(signer, good, { crit: ["x"], x: 1 }),
    "an empty list of critical headers": token(signer, good, { crit: [] }),
    "critical headers that are no list": token(signer, good, { crit: "exp" }),
    "a token inside a token": token(signer, valid, { cty: "JWT" }),
    "a token of many parts": `${"a.".repeat(2_000)}a`,
    "HS256 with an empty secret": forged("", good, { alg: "HS256", kid }),
    "HS256 with a known secret": forged("secret", good, { alg: "HS256", kid }),
    "HS256 with the published key as the secret": forged(publicText, good, { alg: "HS256", kid }),
    "HS384 with the right secret": forged(secretOf(signer), good, { alg: "HS384", kid }, "sha384"),
    "HS512 with the right secret": forged(secretOf(signer), good, { alg: "HS512", kid }, "sha512"),
    "the key of a stranger": asStranger({ kid }),
    "the key of a stranger, inside the token": asStranger({ kid, jwk: stranger.jwk }),
    "the key of a stranger, at an address": asStranger({ kid, jku: "http://127.0.0.1:9/keys" }),
    "the certificate of a stranger, at an address": asStranger({ kid, x5u: "http://127.0.0.1:9/cert" }),
    "the certificate of a stranger": asStranger({ kid, x5c: [randomBytes(300).toString("base64")] }),
    "another algorithm of another curve": asStranger({ kid, alg: "ES384" }),
    "another algorithm of another kind": asStranger({ kid, alg: "RS256" }),
    "an algorithm that nobody knows": asStranger({ kid, alg: "XS256" }),
    "a key id that is a path": asStranger({ kid: "../../../../dev/null" }),
    "a key id that is a statement": asStranger({ kid: "' or '1'='1" }),
    "a key id that is a property": asStranger({ kid: "__proto__" }),
    "a key id that is no text": asStranger({ kid: { $ne: null } }),
  };
}

function secretOf(signer: Signer): string {
  return typeof signer === "string" ? signer : JSON.stringify(signer.jwk);
}
