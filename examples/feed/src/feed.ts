import type { Answer, FilterAnswer, PrivacyReplica } from "@nexgate/privacy-control-client/replica";
import type { Comment, Post, Posts } from "./posts.ts";

/** The calls of the replica that a feed needs. */
type Decisions = Pick<PrivacyReplica, "checkOrAsk" | "filterOrAsk" | "waitFor">;

export interface FeedPage {
  readonly posts: readonly Post[];
  /** Where the next page begins; null after the last one. */
  readonly next: number | null;
  /** How old the decisions are at most. */
  readonly ageMs: number;
}

interface ReadOptions {
  /** A post: only older ones are wanted. */
  readonly before?: number | undefined;
  readonly limit?: number | undefined;
  /** The consistency token of a change that the answer must not be without. */
  readonly after?: string | undefined;
  readonly signal?: AbortSignal;
}

const defaultLimit = 20;
/** Posts that are read and filtered at once, and how often for one page. */
const postsAtOnce = 100;
const maxReads = 10;
/** How long the service may take to answer where the replica is too old. */
const askTimeoutMs = 1_000;

/**
 * Shows everybody the posts and comments that they may see. Decisions come from the replica, and from the service while the
 * replica is too old; when neither can tell, reading fails: nothing is shown by mistake.
 */
export class Feed {
  readonly #posts: Posts;
  readonly #decisions: Decisions;

  constructor(posts: Posts, decisions: Decisions) {
    this.#posts = posts;
    this.#decisions = decisions;
  }

  /** Returns what a viewer may see, the newest first. A viewer of null is not signed in. */
  async read(
    viewer: string | null,
    { before = Number.MAX_SAFE_INTEGER, limit = defaultLimit, after, signal }: ReadOptions,
  ): Promise<FeedPage> {
    if (after !== undefined) await this.#decisions.waitFor(after, signal);
    const shown: Post[] = [];
    let ageMs = 0;
    let next = before;
    for (let reads = 0; reads < maxReads; reads++) {
      const page = this.#posts.before(next, postsAtOnce);
      const answer = await this.#filter(viewer, page, signal);
      ageMs = Math.max(ageMs, answer.ageMs);
      const visible = new Set(answer.ownerIds);
      for (const post of page) {
        next = post.id;
        if (!visible.has(post.author)) continue;
        shown.push({ ...post, comments: post.comments.filter(({ author }) => visible.has(author)) });
        if (shown.length === limit) return { posts: shown, next, ageMs };
      }
      if (page.length < postsAtOnce) return { posts: shown, next: null, ageMs };
    }
    return { posts: shown, next, ageMs };
  }

  publish(author: string, text: string): Post {
    return this.#posts.add(author, text);
  }

  /**
   * Adds a comment. Undefined when there is no such post, and when the author of the post and the viewer are separated by a
   * block: the two cases must look the same.
   */
  async comment(
    viewer: string,
    post: number,
    text: string,
    signal?: AbortSignal,
  ): Promise<Comment | undefined> {
    const owner = this.#posts.authorOf(post);
    if (owner === undefined) return undefined;
    const { effect }: Answer = await this.#decisions.checkOrAsk(
      { viewer, owner, interaction: "COMMENT" },
      { timeoutMs: askTimeoutMs, ...(signal && { signal }) },
    );
    return effect === "ALLOW" ? this.#posts.addComment(post, viewer, text) : undefined;
  }

  /** The authors of some posts, and of their comments, whose content a viewer may see. */
  #filter(viewer: string | null, posts: readonly Post[], signal?: AbortSignal): Promise<FilterAnswer> {
    const authors = posts.flatMap(({ author, comments }) => [
      author,
      ...comments.map((comment) => comment.author),
    ]);
    return this.#decisions.filterOrAsk(viewer, [...new Set(authors)], "VIEW_CONTENT", {
      timeoutMs: askTimeoutMs,
      ...(signal && { signal }),
    });
  }
}
