const uuidOid = 2950;
const headerBytes = 20;
const lengthBytes = 4;
const uuidBytes = 16;
/** Characters of an id, and where in them the two digits of each byte begin. */
const idLength = 36;
const digitsAt = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
/** By the code of its character, the value of a hexadecimal digit; -1 of anything else. */
const digits = Int8Array.from({ length: 128 }, (_, code) => {
  const value = Number.parseInt(String.fromCharCode(code), 16);
  return Number.isNaN(value) ? -1 : value;
});

/** An array of UUIDs in PostgreSQL's binary form, which the server reads several times as fast as text. */
export function uuidArray(ids: readonly (string | null)[]): Buffer {
  const nulls = ids.reduce((count, id) => (id === null ? count + 1 : count), 0);
  const array = Buffer.allocUnsafe(headerBytes + ids.length * (lengthBytes + uuidBytes) - nulls * uuidBytes);
  // One dimension that counts from 1.
  let at = array.writeInt32BE(1, 0);
  at = array.writeInt32BE(nulls > 0 ? 1 : 0, at);
  at = array.writeInt32BE(uuidOid, at);
  at = array.writeInt32BE(ids.length, at);
  at = array.writeInt32BE(1, at);
  let last: string | null = null;
  for (const id of ids) {
    at = array.writeInt32BE(id === null ? -1 : uuidBytes, at);
    if (id !== null) {
      // Often all are the same viewer's.
      if (id === last) array.copyWithin(at, at - uuidBytes - lengthBytes, at - lengthBytes);
      else writeUuid(array, id, at);
      at += uuidBytes;
    }
    last = id;
  }
  return array;
}

/** Leaves nothing behind: a feed asks about a thousand ids at once, and the collector would have most to do with them. */
function writeUuid(array: Buffer, id: string, at: number): void {
  let all = id.length === idLength ? 0 : -1;
  for (let i = 0; i < uuidBytes; i++) {
    const from = digitsAt[i] as number;
    const byte = (digitAt(id, from) << 4) | digitAt(id, from + 1);
    all |= byte;
    array[at + i] = byte;
  }
  if (all < 0) throw new Error("an id is no UUID");
}

function digitAt(id: string, at: number): number {
  return digits[id.charCodeAt(at)] ?? -1;
}
