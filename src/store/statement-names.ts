import { hash } from "node:crypto";

/** A connection keeps every statement that it prepared in the server's memory. */
const maxNames = 500;

/**
 * Names prepared statements by a hash of their text. Behind a pooler several clients share one server connection, and
 * another client may have prepared a name: a hash makes sure that the name means the same text.
 */
export class StatementNames {
  readonly #names = new Map<string, string>();
  #generation = 0;

  /** Returns the name of a statement; undefined when there are too many: such a statement is not prepared. */
  nameOf(text: string): string | undefined {
    let name = this.#names.get(text);
    if (name === undefined && this.#names.size < maxNames) {
      // With the generation within the limit of 63 bytes on names.
      name = `${hash("sha256", text, "base64url")}.${this.#generation}`;
      this.#names.set(text, name);
    }
    return name;
  }

  /**
   * Gives every statement a new name, so that each connection prepares it anew. Does nothing when `name` is no longer
   * the name of `text`: another connection has met the same failure before.
   */
  renew(text: string, name: string): void {
    if (this.#names.get(text) !== name) return;
    this.#names.clear();
    this.#generation++;
  }
}
