import type { AnyDesc, DescEnum, DescFile } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { comments } from "../../../gen/nexgate/comments.ts";
import { statusOfCode } from "../../call/http-status.ts";
import { enumWords, upperSnake } from "../enum-words.ts";

/** A definition that can have a comment. */
type Described = Exclude<AnyDesc, DescFile>;

/** Looks up the comments of definitions, in the words of the REST face. */
export class Comments {
  readonly #words = new Map<string, string>();

  /** `files`: where the names come from that the comments may speak of. */
  constructor(files: Iterable<DescFile>) {
    for (const code of Object.values(Code)) {
      if (typeof code !== "string") this.#words.set(upperSnake(Code[code]), String(statusOfCode(code)));
    }
    for (const file of files) for (const desc of file.enums) this.#addValues(desc);
  }

  /** The comment of a definition, in Markdown: gRPC codes as HTTP statuses, enum values as REST's words. */
  of(desc: Described): string | undefined {
    const name = "typeName" in desc ? desc.typeName : `${desc.parent?.typeName}.${desc.name}`;
    return comments[name]?.replaceAll(/`([A-Z][A-Z0-9_]+)`/g, (quoted, word: string) => {
      const inRest = this.#words.get(word);
      return inRest === undefined ? quoted : `\`${inRest}\``;
    });
  }

  #addValues(desc: DescEnum): void {
    const { words } = enumWords(desc);
    for (const { name, number } of desc.values) {
      const word = words.get(number);
      if (word !== undefined) this.#words.set(name, word);
    }
  }
}
