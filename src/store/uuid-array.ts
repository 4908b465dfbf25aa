const uuidOid = 2950;
const headerBytes = 20;
const lengthBytes = 4;
const uuidBytes = 16;
const uuidDigits = 32;

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

function writeUuid(array: Buffer, id: string, at: number): void {
  const hex = id.slice(0, 8) + id.slice(9, 13) + id.slice(14, 18) + id.slice(19, 23) + id.slice(24);
  if (array.write(hex, at, "hex") !== uuidBytes || hex.length !== uuidDigits)
    throw new Error("an id is no UUID");
}
