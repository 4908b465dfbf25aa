/** The words of a UUID, in the order of its digits. */
export const uuidWords = 4;

const textLength = 36;
const dash = 45;
/** More than any digit. */
const noDigit = 16;

/** The value of each hexadecimal digit in lower case, by its character. */
const digits = new Uint8Array(128).fill(noDigit);
for (let value = 0; value < noDigit; value++) digits[value.toString(noDigit).charCodeAt(0)] = value;

/** Reads a UUID in lower case into `words`. Returns false, with any words, when the text is none. */
export function parseUuid(text: string, words: Int32Array): boolean {
  if (
    text.length !== textLength ||
    text.charCodeAt(8) !== dash ||
    text.charCodeAt(13) !== dash ||
    text.charCodeAt(18) !== dash ||
    text.charCodeAt(23) !== dash
  )
    return false;
  excess = 0;
  words[0] = (fourDigits(text, 0) << 16) | fourDigits(text, 4);
  words[1] = (fourDigits(text, 9) << 16) | fourDigits(text, 14);
  words[2] = (fourDigits(text, 19) << 16) | fourDigits(text, 24);
  words[3] = (fourDigits(text, 28) << 16) | fourDigits(text, 32);
  return excess < noDigit;
}

/** Every value of a character since the start of the text, combined by or: at least `noDigit` when one is no digit. */
let excess = 0;

function fourDigits(text: string, at: number): number {
  const first = digitAt(text, at);
  const second = digitAt(text, at + 1);
  const third = digitAt(text, at + 2);
  const fourth = digitAt(text, at + 3);
  excess |= first | second | third | fourth;
  return (first << 12) | (second << 8) | (third << 4) | fourth;
}

function digitAt(text: string, at: number): number {
  return digits[text.charCodeAt(at)] ?? noDigit;
}

/** Reads the 16 bytes of a UUID into `words`. */
export function readUuid(bytes: Uint8Array, offset: number, words: Int32Array): void {
  for (let word = 0, at = offset; word < uuidWords; word++, at += 4)
    words[word] =
      ((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number);
}
