import type { DescEnum } from "@bufbuild/protobuf";

/** The words by which REST writes and reads the values of an enum. */
export interface EnumWords {
  readonly numbers: ReadonlyMap<string, number>;
  readonly words: ReadonlyMap<number, string>;
}

/**
 * The words of an enum: its value names without the enum's prefix, in lower case. The zero value `_UNSPECIFIED` is no
 * word. Throws when a value lacks the prefix, which is the enum's name in UPPER_SNAKE (buf's ENUM_VALUE_PREFIX).
 */
export function enumWords(desc: DescEnum): EnumWords {
  const prefix = `${upperSnake(desc.name)}_`;
  const numbers = new Map<string, number>();
  const words = new Map<number, string>();
  for (const { name, number } of desc.values) {
    if (!name.startsWith(prefix) || name === prefix)
      throw new Error(`the value ${name} of ${desc} lacks the prefix ${prefix}`);
    const word = name.slice(prefix.length).toLowerCase();
    if (number === 0 && word === "unspecified") continue;
    numbers.set(word, number);
    if (!words.has(number)) words.set(number, word);
  }
  return { numbers, words };
}

/** A name in PascalCase as UPPER_SNAKE. */
export function upperSnake(name: string): string {
  return name
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replace(/([A-Z])([A-Z][a-z])/g, "$1_$2")
    .toUpperCase();
}
