import { DatabaseSync } from "node:sqlite";

export interface Comment {
  readonly id: number;
  readonly author: string;
  readonly text: string;
}

export interface Post extends Comment {
  readonly comments: readonly Comment[];
}

const schema = `
  create table if not exists posts (
    id integer primary key autoincrement,
    author text not null,
    text text not null
  ) strict;
  create table if not exists comments (
    id integer primary key autoincrement,
    post integer not null references posts,
    author text not null,
    text text not null
  ) strict;
  create index if not exists comments_of_posts on comments (post);
`;

/** The posts and their comments, whoever may see them. */
export class Posts {
  readonly #database: DatabaseSync;

  /** `path`: the file of the database; `:memory:` for none. */
  constructor(path: string) {
    this.#database = new DatabaseSync(path);
    this.#database.exec(schema);
  }

  add(author: string, text: string): Post {
    const { lastInsertRowid } = this.#database
      .prepare("insert into posts (author, text) values (?, ?)")
      .run(author, text);
    return { id: Number(lastInsertRowid), author, text, comments: [] };
  }

  /** The author of a post; undefined when there is no such post. */
  authorOf(post: number): string | undefined {
    const row = this.#database.prepare("select author from posts where id = ?").get(post);
    return row === undefined ? undefined : String(row.author);
  }

  addComment(post: number, author: string, text: string): Comment {
    const { lastInsertRowid } = this.#database
      .prepare("insert into comments (post, author, text) values (?, ?, ?)")
      .run(post, author, text);
    return { id: Number(lastInsertRowid), author, text };
  }

  /** Posts with smaller ids than one, the newest first. */
  before(post: number, limit: number): Post[] {
    return this.#database
      .prepare("select id, author, text from posts where id < ? order by id desc limit ?")
      .all(post, limit)
      .map((row) => ({ ...readComment(row), comments: this.#commentsOf(Number(row.id)) }));
  }

  close(): void {
    this.#database.close();
  }

  #commentsOf(post: number): Comment[] {
    return this.#database
      .prepare("select id, author, text from comments where post = ? order by id")
      .all(post)
      .map(readComment);
  }
}

function readComment({ id, author, text }: Record<string, unknown>): Comment {
  return { id: Number(id), author: String(author), text: String(text) };
}
