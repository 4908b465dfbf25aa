/** The most tokens that are remembered; those that were not seen for longest go first. */
const maxTokens = 10_000;
/** Longer ones are verified each time: together with the limit above this bounds the memory. */
const maxTokenLength = 2_048;

interface Verified<Claims> {
  readonly claims: Claims;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** The version of the key set that verified the token. */
  readonly version: number;
}

/**
 * Remembers the claims of tokens that were verified, so that a token which comes with every call is verified once.
 * They are found by the whole text of the token, signature included; a token that was refused is never put in.
 */
export class TokenCache<Claims> {
  readonly #tokens = new Map<string, Verified<Claims>>();
  /** The last token that was found, which is where it should be: a service sends the same with every call. */
  #latest = "";
  readonly #maxTokens: number;

  constructor(max = maxTokens) {
    this.#maxTokens = max;
  }

  /** Returns what is remembered of a token, as long as it has not expired and `isCurrent` says so of its keys. */
  find(token: string, now: number, isCurrent: (version: number) => boolean): Claims | undefined {
    const verified = this.#tokens.get(token);
    if (verified === undefined) return undefined;
    if (now >= verified.expiresAt) {
      this.#tokens.delete(token);
      return undefined;
    }
    if (token !== this.#latest) {
      // A map keeps the order in which its entries were put in: this one is now the last to go.
      this.#tokens.delete(token);
      this.#tokens.set(token, verified);
      this.#latest = token;
    }
    return isCurrent(verified.version) ? verified.claims : undefined;
  }

  /** Remembers a token that was found good. */
  add(token: string, verified: Verified<Claims>): void {
    if (token.length > maxTokenLength) return;
    this.#tokens.delete(token);
    this.#tokens.set(token, verified);
    this.#latest = token;
    if (this.#tokens.size <= this.#maxTokens) return;
    const [oldest] = this.#tokens.keys();
    if (oldest !== undefined) this.#tokens.delete(oldest);
  }
}
