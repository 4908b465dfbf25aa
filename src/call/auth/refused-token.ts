import { createContextKey } from "@connectrpc/connect";
import { errors } from "jose";
import { type ErrorReason, PrivacyError } from "../../domain/errors.ts";

/** What is wrong with a token, for the log: never a part of the token. */
export type TokenFlaw =
  | "missing"
  | "malformed"
  | "header"
  | "algorithm"
  | "key"
  | "signature"
  | "issuer"
  | "audience"
  | "expired"
  | "not yet valid"
  | "claim"
  | "user";

/** Set on every call whose token was refused. */
export const tokenFlawKey = createContextKey<TokenFlaw | undefined>(undefined, { description: "token flaw" });

/** A token was refused. */
export class TokenRefused extends PrivacyError {
  readonly flaw: TokenFlaw;

  constructor(
    reason: Extract<ErrorReason, `TOKEN_${string}`>,
    flaw: TokenFlaw,
    options?: { readonly cause: unknown },
  ) {
    super(reason, options);
    this.flaw = flaw;
  }
}

const claimFlaws: Readonly<Record<string, TokenFlaw>> = { iss: "issuer", aud: "audience" };

/** The error of a token whose verification failed. A failure of the service, such as `UNAVAILABLE`, stays as it is. */
export function refusalOf(failure: unknown): unknown {
  if (failure instanceof PrivacyError) return failure;
  if (failure instanceof errors.JWTExpired) return new TokenRefused("TOKEN_EXPIRED", "expired");
  if (failure instanceof errors.JWSInvalid) return new TokenRefused("TOKEN_MALFORMED", "malformed");
  // WebCrypto refuses some signatures with plain errors of its own.
  if (!(failure instanceof errors.JOSEError))
    return new TokenRefused("TOKEN_INVALID", "signature", { cause: failure });
  return new TokenRefused("TOKEN_INVALID", flawOf(failure));
}

function flawOf(failure: errors.JOSEError): TokenFlaw {
  if (failure instanceof errors.JWSSignatureVerificationFailed) return "signature";
  if (failure instanceof errors.JWKSNoMatchingKey) return "key";
  if (failure instanceof errors.JOSEAlgNotAllowed) return "algorithm";
  if (failure instanceof errors.JWTInvalid) return "malformed";
  if (!(failure instanceof errors.JWTClaimValidationFailed)) return "header";
  const { claim, reason } = failure;
  if (claim === "nbf" && reason === "check_failed") return "not yet valid";
  return claimFlaws[claim] ?? "claim";
}
