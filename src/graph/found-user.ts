import type { UserId } from "../domain/users.ts";
import type { UserTable } from "./user-table.ts";
import { parseUuid, uuidWords } from "./uuid.ts";

/**
 * The lookup of a user, in two steps: `begin` asks for the memory that `end` reads. Where several users are looked up, all
 * are begun first, so that the processor fetches the memory of all at once.
 */
export class FoundUser {
  /** Whom it was begun for last; undefined when it has to be begun anew. */
  id: UserId | undefined;
  /** The user's number and word: 0 and an empty word when nothing names the user. */
  number = 0;
  word = 0;
  readonly #words = new Int32Array(uuidWords);
  #hash = 0;
  #isPending = false;

  begin(users: UserTable, id: UserId): void {
    if (this.id === id) return;
    this.id = id;
    this.number = 0;
    this.word = 0;
    this.#isPending = parseUuid(id, this.#words);
    if (!this.#isPending) return;
    this.#hash = users.hashOf(this.#words);
  }

  touch(users: UserTable): void {
    users.touch(this.#hash);
  }

  end(users: UserTable): void {
    if (!this.#isPending) return;
    this.#isPending = false;
    const at = users.find(this.#words, this.#hash);
    if (at < 0) return;
    this.number = users.numberAt(at);
    this.word = users.stateAt(at);
  }
}

/** Users that are looked up together, for some queries at once. */
export class FoundUsers {
  /** Used again by the next queries. */
  readonly #pool: FoundUser[] = [];

  /** Begins to look up a user for each id, in their order; nobody for null. The same users in a row are one. */
  begin(users: UserTable, ids: readonly (UserId | null)[]): FoundUser[] {
    let last: FoundUser | undefined;
    const found = ids.map((id, at) => {
      if (last !== undefined && (id === null || id === last.id)) return last;
      last = this.#pool[at] ??= new FoundUser();
      last.id = undefined;
      if (id !== null) last.begin(users, id);
      return last;
    });
    for (const user of found) user.touch(users);
    return found;
  }
}
