import { hash } from "node:crypto";

/** A connection keeps every statement that it prepared in the server's memory. */
const maxNames = 500;

/**
 * Names prepared statements by a hash of their text. Behind a pooler that lends one server connection to several
 * clients, a name may have been prepared by another client: it then stands for the same text, or for nothing.
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
