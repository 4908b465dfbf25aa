/** Fills an array with random bits. */
export type Randomize = (words: Int32Array<ArrayBuffer>) => void;

const valuesOfByte = 256;
const bytesOfWord = 4;

/**
 * The tables of a simple tabulation hash for keys of some words: the hash of a key is the exclusive or of one random word
 * for each of its bytes. With linear probing it takes expected constant time whatever the keys are, provided that who
 * chooses them does not know the tables (Patrascu and Thorup, "The power of simple tabulation hashing").
 */
export function tabulationOf(words: number, randomize: Randomize): Int32Array {
  const table = new Int32Array(words * bytesOfWord * valuesOfByte);
  randomize(table);
  return table;
}

/** What one word adds to the hash of a key; `place` is the index of the word in the key. */
export function hashWord(table: Int32Array, place: number, word: number): number {
  const at = place * bytesOfWord * valuesOfByte;
  return (
    (table[at + (word & 255)] as number) ^
    (table[at + valuesOfByte + ((word >>> 8) & 255)] as number) ^
    (table[at + 2 * valuesOfByte + ((word >>> 16) & 255)] as number) ^
    (table[at + 3 * valuesOfByte + (word >>> 24)] as number)
  );
}
