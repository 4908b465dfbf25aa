import { createHmac, KeyObject, sign } from "node:crypto";
import type { Key } from "./key-server.ts";

/** What signs the good tokens of an instance: a shared secret, or a key that is published. */
export type Signer = string | Key;

/** Base64url of a text, or of a value as JSON. */
export function encode(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return Buffer.from(text).toString("base64url");
}

/** Signs any header and payload, well-formed or not, as a good token is signed. */
export function token(signer: Signer, payload: unknown, header: object | string = {}): string {
  const good = typeof signer === "string" ? { alg: "HS256" } : { alg: signer.alg, kid: signer.kid };
  const input = `${encode(typeof header === "string" ? header : { ...good, ...header })}.${encode(payload)}`;
  return `${input}.${signatureOf(signer, input)}`;
}

/** Signs by a secret that is none, with any hash. */
export function forged(secret: string | Buffer, payload: unknown, header: object, hash = "sha256"): string {
  const input = `${encode(header)}.${encode(payload)}`;
  return `${input}.${createHmac(hash, secret).update(input).digest("base64url")}`;
}

function signatureOf(signer: Signer, input: string): string {
  if (typeof signer === "string") return createHmac("sha256", signer).update(input).digest("base64url");
  const key = KeyObject.from(signer.privateKey);
  const bytes = Buffer.from(input);
  return sign("sha256", bytes, { key, dsaEncoding: "ieee-p1363" }).toString("base64url");
}
