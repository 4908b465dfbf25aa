import { SignJWT } from "jose";
import type { UserId } from "../domain/ids.ts";

/** What a token needs beside its subject. */
export interface Minting {
  readonly secret: string;
  readonly issuer: string;
  readonly audience: string;
  readonly serviceAudience: string;
  readonly hours: number;
  /** The claim that holds the user's id; `sub` by default. */
  readonly userClaim?: string;
  /** The claim that holds a service's scopes; `scope` by default. */
  readonly scopeClaim?: string;
}

/** Signs a user's token (HS256). */
export function userToken(user: UserId, minting: Minting): Promise<string> {
  const { userClaim = "sub", audience } = minting;
  return sign(new SignJWT({ [userClaim]: user }).setAudience(audience), minting);
}

/** Signs a service's token (HS256); `scope` holds the scopes between spaces. */
export function serviceToken(name: string, scope: string, minting: Minting): Promise<string> {
  const { scopeClaim = "scope", serviceAudience } = minting;
  return sign(new SignJWT({ [scopeClaim]: scope }).setSubject(name).setAudience(serviceAudience), minting);
}

function sign(token: SignJWT, { secret, issuer, hours }: Minting): Promise<string> {
  return token
    .setProtectedHeader({ alg: "HS256" })
    .setIssuer(issuer)
    .setExpirationTime(`${hours} hours`)
    .sign(new TextEncoder().encode(secret));
}
